package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
)

// Ping tells a stuck server from a busy one. Servers without pings count as healthy.
func ExampleClient_Ping() {
	path, stop := serveShelf()
	defer stop()
	for _, extensions := range []bool{true, false} {
		client := dialShelf(path, ttrpc.WithClientExtensions(extensions))
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		switch err := client.Ping(ctx); {
		case err == nil:
			fmt.Println("the server lives")
		case status.Code(err) == codes.Unimplemented:
			fmt.Println("the server cannot say")
		default:
			log.Fatal(err)
		}
		cancel()
		client.Close()
	}
	// Output:
	// the server lives
	// the server cannot say
}

// A server sends its location and the name of the method beside the response or the error.
func ExampleWithResponseMetadata() {
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(
		func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, handler ttrpc.Method) (any, error) {
			// Handlers set metadata likewise.
			if err := ttrpc.SetHeader(ctx, ttrpc.MD{"region": {"north"}}); err != nil {
				return nil, err
			}
			resp, err := handler(ctx, unmarshal)
			if err := ttrpc.SetTrailer(ctx, ttrpc.MD{"method": {info.FullMethod}}); err != nil {
				return nil, err
			}
			return resp, err
		}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			var req ttrpc.KeyValue
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			return nil, status.Errorf(codes.NotFound, "nobody is called %s", req.Value)
		},
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	client := ttrpc.NewClient(near)
	defer client.Close()

	var metadata ttrpc.ResponseMetadata
	ctx := ttrpc.WithResponseMetadata(context.Background(), &metadata)
	err = client.Call(ctx, "example.Greeter", "Greet", &ttrpc.KeyValue{Value: "Ada"}, &ttrpc.KeyValue{})
	fmt.Println(err)
	fmt.Println(metadata.Header(), metadata.Trailer())
	// Output:
	// rpc error: code = NotFound desc = nobody is called Ada
	// map[region:[north]] map[method:[/example.Greeter/Greet]]
}

// A caller with two servers loses no call when one of them shuts down: it makes the calls
// that this server has not begun at the other server. No call runs twice.
func ExampleClient_Draining() {
	notBegun := func(client *ttrpc.Client, err error) bool {
		if errors.Is(err, ttrpc.ErrDraining) {
			return true
		}
		if !errors.Is(err, ttrpc.ErrClosed) {
			return false
		}
		<-client.Done() // after ErrClosed the end is near
		return errors.Is(client.Err(), ttrpc.ErrDraining)
	}

	var clients []*ttrpc.Client
	var servers []*ttrpc.Server
	for _, name := range []string{"first", "second"} {
		server, client := serveName(name)
		defer server.Close()
		defer client.Close()
		servers, clients = append(servers, server), append(clients, client)
	}
	for i := 0; i < 2; i++ {
		for _, client := range clients {
			var name ttrpc.KeyValue
			err := client.Call(context.Background(), "example.Names", "Name", &ttrpc.KeyValue{}, &name)
			if err == nil {
				fmt.Println("the call ran on the", name.Value)
				break
			}
			fmt.Println("it has not begun:", notBegun(client, err))
		}
		if err := servers[0].Shutdown(context.Background()); err != nil {
			log.Fatal(err)
		}
		<-clients[0].Draining()
	}
	// Output:
	// the call ran on the first
	// it has not begun: true
	// the call ran on the second
}

// serveName starts a server that answers with its name, and returns a client of it.
func serveName(name string) (*ttrpc.Server, *ttrpc.Client) {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	server.Register("example.Names", map[string]ttrpc.Method{
		"Name": func(context.Context, func(any) error) (any, error) { return &ttrpc.KeyValue{Value: name}, nil },
	})
	near, far := net.Pipe()
	go server.ServeConn(context.Background(), far)
	return server, ttrpc.NewClient(near)
}
