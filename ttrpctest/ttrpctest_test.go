package ttrpctest_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
	"github.com/containerd/ttrpc/ttrpctest"
)

// greet is a service of one method, without generated code.
func greet(server *ttrpc.Server) {
	server.Register("test.Greeter", map[string]ttrpc.Method{
		"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
			var req inventory.Item
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			return &inventory.Item{Name: "hello, " + req.Name}, nil
		},
	})
}

func call(client *ttrpc.Client) (string, error) {
	var resp inventory.Item
	err := client.Call(context.Background(), "test.Greeter", "Greet", &inventory.Item{Name: "world"}, &resp)
	return resp.Name, err
}

// Several clients of one server are connected until the test ends, and then closed, with
// their callbacks run.
func TestClients(t *testing.T) {
	closed := 0
	var clients []*ttrpc.Client
	t.Run("pair", func(t *testing.T) {
		server := ttrpctest.NewServer(t)
		greet(server)
		for i := 0; i < 2; i++ {
			client := ttrpctest.NewClient(t, server, ttrpc.WithOnClose(func() { closed++ }))
			if got, err := call(client); got != "hello, world" || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
			clients = append(clients, client)
		}
	})
	if closed != 2 {
		t.Errorf("%d callbacks have run, want 2", closed)
	}
	for _, client := range clients {
		if _, err := call(client); err != ttrpc.ErrClosed {
			t.Errorf("after the test: got %v, want ErrClosed", err)
		}
	}
}

// A client that outlives its server, or is closed before the end, is no failure.
func TestClosedBefore(t *testing.T) {
	server := ttrpctest.NewServer(t)
	greet(server)
	first := ttrpctest.NewClient(t, server)
	first.Close()
	client := ttrpctest.NewClient(t, server)
	server.Close()
	<-client.Done()
	<-ttrpctest.NewClient(t, server).Done() // of a server that is closed
}

// A test of a service needs a server, the service and a client.
func ExampleNewClient() {
	t := new(testing.T) // that of the test function
	server := ttrpctest.NewServer(t)
	defer server.Close() // no test function, no end of the test
	greet(server)
	client := ttrpctest.NewClient(t, server)
	defer client.Close()
	fmt.Println(call(client))
	// Output: hello, world <nil>
}
