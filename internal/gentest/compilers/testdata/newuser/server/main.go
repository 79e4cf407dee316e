// Command server serves notes on the socket of its argument until standard input ends.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"time"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/socket"
)

type shelf struct{}

func (shelf) Get(_ context.Context, r *notes.GetRequest) (*notes.Note, error) {
	return &notes.Note{Text: "about " + r.Name}, nil
}

func (shelf) Watch(_ context.Context, r *notes.GetRequest, stream notes.Notes_WatchServer) error {
	for _, text := range []string{"first", "second"} {
		if err := stream.Send(&notes.Note{Text: text + " about " + r.Name}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	notes.RegisterNotesService(server, shelf{})
	l, err := socket.ListenUnix(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Fatal(err)
		}
	}()
	os.Stdout.WriteString("ready\n")
	if err := server.Serve(context.Background(), l); !errors.Is(err, ttrpc.ErrServerClosed) {
		log.Fatal(err)
	}
}
