package main

import (
	"context"
	"log"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func token(ctx context.Context, _ *notes.GetRequest) (*notes.Note, error) {
	token, ok := ttrpc.GetMetadataValue(ctx, "token")
	if !ok {
		token = "nothing"
	}
	return &notes.Note{Text: "the handler has " + token}, nil
}

func metadataCapitals(ctx context.Context) {
	md := ttrpc.MD{"Token": {"a secret"}}
	values, _ := md.Get("token")
	log.Println("Get finds", values)
	md.Set("TOKEN", "a new secret")
	values, _ = md.Get("Token")
	log.Println("after Set it finds", values, "of", len(md))
	ctx = ttrpc.WithMetadata(ctx, md)
	note, err := notes.NewNotesClient(dial(ctx, serve(shelf{get: token}))).Get(ctx, &notes.GetRequest{})
	must(err)
	log.Println(note.Text)
}

// metadataPassedOn has a handler call its own server, with and without the metadata.
func metadataPassedOn(ctx context.Context) {
	var stub notes.NotesClient
	stub = notes.NewNotesClient(dial(ctx, serve(shelf{get: func(ctx context.Context, r *notes.GetRequest) (*notes.Note, error) {
		switch r.Name {
		case "pass on":
			return stub.Get(ctx, &notes.GetRequest{})
		case "do not":
			return stub.Get(ttrpc.WithMetadata(ctx, nil), &notes.GetRequest{})
		}
		return token(ctx, r)
	}})))
	ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"token": {"a secret"}})
	for _, name := range []string{"pass on", "do not"} {
		note, err := stub.Get(ctx, &notes.GetRequest{Name: name})
		must(err)
		log.Printf("%s: %s", name, note.Text)
	}
}

// interceptor takes a failure of the server for a success.
func interceptor(ctx context.Context) {
	get := func(context.Context, *notes.GetRequest) (*notes.Note, error) {
		return nil, status.Error(codes.NotFound, "no such note")
	}
	see := func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, invoke ttrpc.Invoker) error {
		err := invoke(ctx, req, resp)
		log.Println("the invoker returns", err, "and the status is", codes.Code(resp.GetStatus().GetCode()))
		return err
	}
	client := dial(ctx, serve(shelf{get: get}), ttrpc.WithUnaryClientInterceptor(see))
	_, err := notes.NewNotesClient(client).Get(ctx, &notes.GetRequest{})
	log.Println("the call returns", err)
}
