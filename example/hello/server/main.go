// Command server greets over the unix socket hello.sock until it is interrupted.
package main

import (
	"context"
	"errors"
	"log"
	"net"
	"os"
	"os/signal"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/hello"
)

type greeter struct{}

func (greeter) Greet(ctx context.Context, r *hello.GreetRequest) (*hello.GreetResponse, error) {
	return &hello.GreetResponse{Text: "Hello, " + r.Name}, nil
}

func main() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	hello.RegisterGreeterService(server, greeter{})
	l, err := net.Listen("unix", "hello.sock")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := server.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
			log.Fatal(err)
		}
	}()

	interrupt, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	<-interrupt.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil { // some calls did not finish in time
		server.Close()
	}
}
