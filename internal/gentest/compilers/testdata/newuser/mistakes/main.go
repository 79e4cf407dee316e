// Command mistakes makes the mistake of its argument, and prints what a user sees.
package main

import (
	"context"
	"log"
	"os"
	"path/filepath"
	"time"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/socket"
)

var mistakes = map[string]func(context.Context){
	"nil-connection":     nilConnection,
	"nil-implementation": func(context.Context) { notes.RegisterNotesService(newServer(), nil) },
	"call-of-stream":     callOfStream,
	"stream-of-call":     streamOfCall,
	"message-value":      messageValue,
	"long-request":       longRequest,
	"long-response":      longResponse,
	"dropped-request":    droppedRequest,
	"stream-not-read":    streamNotRead,
	"too-many-calls":     tooManyCalls,
	"metadata-capitals":  metadataCapitals,
	"metadata-passed-on": metadataPassedOn,
	"interceptor":        interceptor,
	"sending-at-reader":  sendingAtReader,
	"http-client":        func(ctx context.Context) { httpClient(ctx, false) },
	"http2-client":       func(ctx context.Context) { httpClient(ctx, true) },
	"http-server":        httpServer,
	"tls-client":         tlsClient,
	"no-such-path":       func(ctx context.Context) { dialOnly(ctx, filepath.Join(dir, "none", "s")) },
	"nobody-listens":     nobodyListens,
	"not-a-socket":       notASocket,
}

// dir is for the sockets of the mistake.
var dir string

func main() {
	log.SetFlags(0)
	log.SetOutput(os.Stdout) // panics go to standard error
	mistake, ok := mistakes[os.Args[1]]
	if !ok {
		log.Fatalf("there is no mistake %q", os.Args[1])
	}
	dir = os.Args[2]
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	mistake(ctx)
}

// must ends the program: the mistake is not the one that it was to be.
func must(err error) {
	if err != nil {
		log.Fatalln("unexpected:", err)
	}
}

func newServer(opts ...ttrpc.ServerOpt) *ttrpc.Server {
	server, err := ttrpc.NewServer(opts...)
	must(err)
	return server
}

// serve serves s at a socket and returns its path.
func serve(s notes.NotesService, opts ...ttrpc.ServerOpt) string {
	server := newServer(opts...)
	notes.RegisterNotesService(server, s)
	path := filepath.Join(dir, "s")
	l, err := socket.ListenUnix(path)
	must(err)
	go server.Serve(context.Background(), l)
	return path
}

func dial(ctx context.Context, path string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	client, err := socket.Dial(ctx, path, opts...)
	must(err)
	return client
}

func dialOnly(ctx context.Context, path string) {
	_, err := socket.Dial(ctx, path)
	log.Println(err)
}
