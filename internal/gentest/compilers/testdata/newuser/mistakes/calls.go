package main

import (
	"context"
	"log"
	"net"
	"path/filepath"
	"strings"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc"
)

// A shelf is made of functions; without one, it echoes the name.
type shelf struct {
	get   func(context.Context, *notes.GetRequest) (*notes.Note, error)
	watch func(context.Context, notes.Notes_WatchServer) error
}

func (s shelf) Get(ctx context.Context, r *notes.GetRequest) (*notes.Note, error) {
	if s.get == nil {
		return &notes.Note{Text: r.Name}, nil
	}
	return s.get(ctx, r)
}

func (s shelf) Watch(ctx context.Context, _ *notes.GetRequest, stream notes.Notes_WatchServer) error {
	if s.watch == nil {
		return stream.Send(&notes.Note{})
	}
	return s.watch(ctx, stream)
}

const service = "notes.v1.Notes"

func nilConnection(context.Context) {
	conn, _ := net.Dial("unix", filepath.Join(dir, "missing"))
	ttrpc.NewClient(conn)
}

func callOfStream(ctx context.Context) {
	client := dial(ctx, serve(shelf{}))
	log.Println(client.Call(ctx, service, "Watch", &notes.GetRequest{}, &notes.Note{}))
}

func streamOfCall(ctx context.Context) {
	client := dial(ctx, serve(shelf{}))
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}, service, "Get", nil)
	must(err)
	log.Println(stream.RecvMsg(&notes.Note{}))
}

func messageValue(ctx context.Context) {
	client := dial(ctx, serve(shelf{}))
	log.Println(client.Call(ctx, service, "Get", notes.GetRequest{}, &notes.Note{}))
	log.Println(client.Call(ctx, service, "Get", &notes.GetRequest{}, notes.Note{}))
}

var long = strings.Repeat("long ", 1<<20)

func longRequest(ctx context.Context) {
	_, err := notes.NewNotesClient(dial(ctx, serve(shelf{}))).Get(ctx, &notes.GetRequest{Name: long})
	log.Println(err)
}

func longResponse(ctx context.Context) {
	get := func(context.Context, *notes.GetRequest) (*notes.Note, error) { return &notes.Note{Text: long}, nil }
	_, err := notes.NewNotesClient(dial(ctx, serve(shelf{get: get}))).Get(ctx, &notes.GetRequest{})
	log.Println(err)
}

func droppedRequest(ctx context.Context) {
	client := dial(ctx, serve(shelf{}), ttrpc.WithClientLimits(ttrpc.Limits{MaxMessageLength: 8 << 20}))
	_, err := notes.NewNotesClient(client).Get(ctx, &notes.GetRequest{Name: long})
	log.Println(err)
}

// streamNotRead has a server without windows send more than a stream holds, until the client
// ends it. One with windows would wait.
func streamNotRead(ctx context.Context) {
	ended := make(chan struct{})
	watch := func(ctx context.Context, stream notes.Notes_WatchServer) error {
		defer close(ended)
		for i := 0; i < 16; i++ {
			if err := stream.Send(&notes.Note{Text: long[:1<<20]}); err != nil {
				return err
			}
		}
		return nil
	}
	client := dial(ctx, serve(shelf{watch: watch}, ttrpc.WithServerExtensions(false)))
	stream, err := notes.NewNotesClient(client).Watch(ctx, &notes.GetRequest{})
	must(err)
	<-ended
	for err == nil {
		_, err = stream.Recv()
	}
	log.Println(err)
}

func tooManyCalls(ctx context.Context) {
	began := make(chan struct{})
	watch := func(ctx context.Context, _ notes.Notes_WatchServer) error {
		close(began)
		<-ctx.Done()
		return nil
	}
	stub := notes.NewNotesClient(dial(ctx, serve(shelf{watch: watch}, ttrpc.WithServerMaxCalls(1))))
	_, err := stub.Watch(ctx, &notes.GetRequest{})
	must(err)
	<-began
	_, err = stub.Get(ctx, &notes.GetRequest{})
	log.Println(err)
}

// sendingAtReader sends on a stream that is the server's to send on.
func sendingAtReader(ctx context.Context) {
	client := dial(ctx, serve(shelf{}))
	stream, err := client.NewStream(ctx, &ttrpc.StreamDesc{StreamingServer: true}, service, "Watch", &notes.GetRequest{})
	must(err)
	log.Println(stream.SendMsg(&notes.GetRequest{}))
}
