package main

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	notes "example.com/notes/api/v1"
	"github.com/containerd/ttrpc"
)

// logged is a logger that tells when a connection has failed.
type logged chan string

func (l logged) Printf(format string, args ...any) {
	log.Printf(format, args...)
	l <- ""
}

func httpClient(ctx context.Context, two bool) {
	lines := make(logged, 10)
	path := serve(shelf{}, ttrpc.WithServerLogger(lines))
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		Protocols: new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(!two)
	transport.Protocols.SetUnencryptedHTTP2(two)
	req, err := http.NewRequestWithContext(ctx, "GET", "http://notes/", nil)
	must(err)
	if _, err := transport.RoundTrip(req); err == nil {
		log.Fatal("ttrpc answered HTTP")
	}
	<-lines
}

func tlsClient(ctx context.Context) {
	lines := make(logged, 10)
	path := serve(shelf{}, ttrpc.WithServerLogger(lines))
	conn, err := net.Dial("unix", path)
	must(err)
	if err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(ctx); err == nil {
		log.Fatal("ttrpc answered TLS")
	}
	<-lines
}

func httpServer(ctx context.Context) {
	server := httptest.NewServer(http.NotFoundHandler())
	client := dial(ctx, "tcp://"+server.Listener.Addr().String())
	_, err := notes.NewNotesClient(client).Get(ctx, &notes.GetRequest{Name: "a"})
	log.Println(err)
}

func nobodyListens(ctx context.Context) {
	path := filepath.Join(dir, "stale")
	l, err := net.Listen("unix", path)
	must(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	must(l.Close())
	dialOnly(ctx, path)
}

func notASocket(ctx context.Context) {
	path := filepath.Join(dir, "file")
	must(os.WriteFile(path, nil, 0o666))
	dialOnly(ctx, path)
}
