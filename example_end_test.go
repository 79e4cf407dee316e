package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
	"github.com/containerd/ttrpc/socket"
)

// reconnecting is a ttrpc.Caller that connects again for the first call after the end of
// a connection. The call that was under way then fails: whether the server has done it
// is not known.
type reconnecting struct {
	address string

	mu     sync.Mutex
	client *ttrpc.Client // nil before the first call
}

func (r *reconnecting) connected(ctx context.Context) (*ttrpc.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil && r.client.Err() == nil {
		return r.client, nil
	}
	client, err := socket.Dial(ctx, r.address)
	if err == nil {
		r.client = client
	}
	return client, err
}

func (r *reconnecting) Call(ctx context.Context, service, method string, req, resp any) error {
	client, err := r.connected(ctx)
	if err != nil {
		return err
	}
	return client.Call(ctx, service, method, req, resp)
}

func (r *reconnecting) NewStream(ctx context.Context, desc *ttrpc.StreamDesc, service, method string, req any) (ttrpc.ClientStream, error) {
	client, err := r.connected(ctx)
	if err != nil {
		return nil, err
	}
	return client.NewStream(ctx, desc, service, method, req)
}

// A client that connects again, for stubs that are generated with client=interface.
func ExampleCaller() {
	path, stop := serveShelf()
	caller := &reconnecting{address: path}
	stub := inventory.NewInventoryClient(caller)
	get := func() {
		item, err := stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"})
		fmt.Println(item.GetCount(), err)
	}
	get()
	caller.client.Close() // or the server goes away
	get()
	caller.client.Close()
	stop()
	// Output:
	// 40 <nil>
	// 40 <nil>
}

// Err tells why a connection has ended, where calls return ErrClosed.
func ExampleClient_Err() {
	path, stop := serveShelf()
	client := dialShelf(path)
	if _, err := inventory.NewInventoryClient(client).GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"}); err != nil {
		log.Fatal(err)
	}
	stop() // the server goes away
	<-client.Done()
	err := client.Err()
	fmt.Println(errors.Is(err, ttrpc.ErrClosed), errors.Is(err, io.EOF))
	fmt.Println(err)
	// Output:
	// true true
	// ttrpc: connection failed: the peer closed the connection: EOF
}

// A server on one end of a connection that is there already.
func ExampleServer_ServeConn() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	inventory.RegisterInventoryService(server, shelf{})
	ours, theirs := net.Pipe()
	served := make(chan error)
	go func() { served <- server.ServeConn(context.Background(), theirs) }()
	bolts, err := count(ours, "bolt")
	fmt.Println(bolts, err)
	fmt.Println("served:", <-served)
	// Output:
	// 40 <nil>
	// served: <nil>
}

// failures counts calls by their code.
type failures struct {
	mu    sync.Mutex
	codes map[codes.Code]int
}

func (f *failures) add(code codes.Code) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.codes == nil {
		f.codes = make(map[codes.Code]int)
	}
	f.codes[code]++
}

// client counts the results of callers. An Invoker returns errors of this side alone: that of
// the server is in the response.
func (f *failures) client(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, _ *ttrpc.UnaryClientInfo, next ttrpc.Invoker) error {
	err := next(ctx, req, resp)
	switch {
	case err == nil:
		f.add(codes.Code(resp.GetStatus().GetCode())) // 0, OK, without a status
	case errors.Is(err, ttrpc.ErrClosed):
		f.add(codes.Unavailable)
	default:
		f.add(status.FromContextError(err).Code()) // of the context, or Unknown
	}
	return err
}

// server counts the errors of handlers, before the library makes statuses of them.
func (f *failures) server(ctx context.Context, unmarshal ttrpc.Unmarshaler, _ *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	resp, err := method(ctx, unmarshal)
	st, ok := status.FromError(err)
	if !ok {
		st = status.FromContextError(err)
	}
	f.add(st.Code())
	return resp, err
}

// Interceptors count failures, on either side.
func ExampleUnaryClientInterceptor() {
	var atServer, atClient failures
	path, stop := serveShelf(ttrpc.WithUnaryServerInterceptor(atServer.server))
	defer stop()
	client := dialShelf(path, ttrpc.WithUnaryClientInterceptor(atClient.client))
	stub := inventory.NewInventoryClient(client)
	for _, name := range []string{"bolt", "bold", "bald"} {
		stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: name})
	}
	client.Close()
	stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"})
	fmt.Println("server:", atServer.codes)
	fmt.Println("client:", atClient.codes)
	// Output:
	// server: map[OK:1 NotFound:2]
	// client: map[OK:1 NotFound:2 Unavailable:1]
}

// The server's log goes to log/slog.
func ExampleWithServerLogger() {
	handler := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{} // for the output below
			}
			return a
		},
	})
	server, err := ttrpc.NewServer(
		ttrpc.WithServerLogger(slog.NewLogLogger(handler, slog.LevelWarn)),
		ttrpc.WithServerHandshaker(nobody{}))
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	ours, theirs := net.Pipe()
	defer ours.Close()
	fmt.Println(server.ServeConn(context.Background(), theirs))
	// Output:
	// level=WARN msg="ttrpc: connection from \"pipe\" refused: nobody may come in"
	// nobody may come in
}

// nobody is a Handshaker that refuses everyone.
type nobody struct{}

func (nobody) Handshake(context.Context, net.Conn) (net.Conn, any, error) {
	return nil, nil, errors.New("nobody may come in")
}

// A client gives a stream up by ending its context. A server with extensions then ends the
// context of the handler. A release does not learn of it: there the deadline ends the
// handler, or CloseSend if the client sends.
func ExampleClient_NewStream_givenUp() {
	path, stop := serveShelf()
	defer stop()
	client := dialShelf(path)
	defer client.Close()
	stub := inventory.NewInventoryClient(client)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // goes to the handler
	stream, err := stub.CountItems(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := stream.Send(&inventory.CountItemsRequest{Name: "bolt"}); err != nil {
		log.Fatal(err)
	}
	answer, err := stream.Recv()
	fmt.Println(answer.GetCount(), err)
	if err := stream.CloseSend(); err != nil { // the handler's Recv returns io.EOF
		log.Fatal(err)
	}
	cancel() // this side forgets the stream
	for err == nil {
		_, err = stream.Recv()
	}
	fmt.Println(err == context.Canceled || err == io.EOF)
	// Output:
	// 4 <nil>
	// true
}
