// Command client reads notes at the socket of its argument.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc/socket"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := socket.Dial(ctx, os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	stub := notes.NewNotesClient(client)
	note, err := stub.Get(ctx, &notes.GetRequest{Name: "bolts"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(note.Text)
	stream, err := stub.Watch(ctx, &notes.GetRequest{Name: "bolts"})
	if err != nil {
		log.Fatal(err)
	}
	for {
		note, err := stream.Recv()
		if err == io.EOF {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(note.Text)
	}
}
