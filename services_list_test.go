package ttrpc_test

import (
	"context"
	"testing"

	"github.com/containerd/ttrpc"
)

func TestServicesTellsWhatIsRegistered(t *testing.T) {
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	called := 0
	server.Register("unary", map[string]ttrpc.Method{"M": func(context.Context, func(any) error) (any, error) {
		called++
		return nil, nil
	}})
	server.RegisterService("streams", &ttrpc.ServiceDesc{Streams: map[string]ttrpc.Stream{"S": {
		StreamingClient: true,
		Handler:         func(context.Context, ttrpc.StreamServer) (any, error) { return nil, nil },
	}}})
	services := server.Services()
	if len(services) != 2 || len(services["unary"].Methods) != 1 || len(services["unary"].Streams) != 0 {
		t.Fatalf("got %v", services)
	}
	if s, ok := services["streams"].Streams["S"]; !ok || !s.StreamingClient || s.StreamingServer || s.Handler == nil {
		t.Errorf("got the stream %+v", s)
	}
	services["unary"].Methods["M"](context.Background(), nil)
	if called != 1 {
		t.Errorf("the method is not the registered one")
	}
	delete(services["unary"].Methods, "M")
	delete(services, "streams")
	if again := server.Services(); len(again) != 2 || len(again["unary"].Methods) != 1 {
		t.Errorf("a change of the maps changed the server: %v", again)
	}
}
