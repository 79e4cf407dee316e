package ttrpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/details"
	"github.com/containerd/ttrpc/example/inventory"
)

// shelf is the service of the examples.
type shelf struct{}

func (shelf) GetItem(_ context.Context, req *inventory.GetItemRequest) (*inventory.Item, error) {
	if req.Name != "bolt" {
		return nil, details.Error(codes.NotFound, "no such item",
			&inventory.ItemMissing{Name: req.Name, Similar: []string{"bolt"}})
	}
	return &inventory.Item{Name: req.Name, Count: 40}, nil
}

func (shelf) TakeItem(ctx context.Context, req *inventory.TakeItemRequest) (*inventory.Item, error) {
	user, ok := ttrpc.GetMetadataValue(ctx, "user")
	if !ok {
		return nil, status.Error(codes.Unauthenticated, "who takes it?")
	}
	return &inventory.Item{Name: req.Name + " for " + user, Count: req.Count}, nil
}

func (shelf) ListItems(_ context.Context, req *inventory.ListItemsRequest, stream inventory.Inventory_ListItemsServer) error {
	for _, name := range []string{"bolt", "nut", "washer"} {
		if !strings.HasPrefix(name, req.Prefix) {
			continue
		}
		if err := stream.Send(&inventory.Item{Name: name}); err != nil {
			return err
		}
	}
	return nil
}

func (shelf) AddItems(_ context.Context, stream inventory.Inventory_AddItemsServer) (*inventory.AddItemsResponse, error) {
	sum := &inventory.AddItemsResponse{}
	for {
		item, err := stream.Recv()
		if err == io.EOF {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		sum.Items++
		sum.Count += item.Count
	}
}

func (shelf) CountItems(_ context.Context, stream inventory.Inventory_CountItemsServer) error {
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(&inventory.CountItemsResponse{Name: req.Name, Count: int64(len(req.Name))}); err != nil {
			return err
		}
	}
}

func (shelf) Restock(ctx context.Context, req *inventory.RestockRequest) (*inventory.RestockResponse, error) {
	<-ctx.Done() // the delivery never comes
	return nil, ctx.Err()
}

// serveShelf serves a shelf on a new socket and returns the path of the socket.
func serveShelf(opts ...ttrpc.ServerOpt) (socket string, stop func()) {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	socket = filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	server, err := ttrpc.NewServer(opts...)
	if err != nil {
		log.Fatal(err)
	}
	inventory.RegisterInventoryService(server, shelf{})
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()
	return socket, func() {
		server.Close()
		<-served
		os.RemoveAll(dir)
	}
}

// dialShelf returns a client of a server.
func dialShelf(socket string, opts ...ttrpc.ClientOpts) *ttrpc.Client {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		log.Fatal(err)
	}
	return ttrpc.NewClient(conn, opts...)
}

func serve(l net.Listener) error {
	server, err := ttrpc.NewServer()
	if err != nil {
		return err
	}
	inventory.RegisterInventoryService(server, shelf{})
	return server.Serve(context.Background(), l)
}

func count(conn net.Conn, name string) (int64, error) {
	client := ttrpc.NewClient(conn)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	item, err := inventory.NewInventoryClient(client).GetItem(ctx, &inventory.GetItemRequest{Name: name})
	return item.GetCount(), err
}

// The functions serve and count are the two sides. The stubs are generated.
func Example() {
	dir, err := os.MkdirTemp("", "ttrpc")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		log.Fatal(err)
	}
	served := make(chan error)
	go func() { served <- serve(l) }()

	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	bolts, err := count(conn, "bolt")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("bolts:", bolts)
	l.Close()
	fmt.Println("closed:", errors.Is(<-served, net.ErrClosed))
	// Output:
	// bolts: 40
	// closed: true
}

// A service needs no generated code: a method gets a function that decodes its request, and
// returns the response.
func ExampleServer_Register() {
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(ctx context.Context, unmarshal func(any) error) (any, error) {
			var req inventory.Item
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			return &inventory.Item{Name: "hello, " + req.Name}, nil
		},
	})
	ours, theirs := net.Pipe()
	l := &oneConn{conn: theirs, closed: make(chan struct{})}
	go server.Serve(context.Background(), l)

	client := ttrpc.NewClient(ours)
	defer client.Close()
	var resp inventory.Item
	err = client.Call(context.Background(), "example.Greeter", "Greet", &inventory.Item{Name: "world"}, &resp)
	fmt.Println(resp.Name, err)
	// Output: hello, world <nil>
}

// oneConn is a listener with a single connection.
type oneConn struct {
	conn   net.Conn
	closed chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	if conn := l.conn; conn != nil {
		l.conn = nil
		return conn, nil
	}
	<-l.closed
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return nil }

// Shutdown lets a running call finish.
func ExampleServer_Shutdown() {
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		log.Fatal(err)
	}
	server, err := ttrpc.NewServer()
	if err != nil {
		log.Fatal(err)
	}
	begun, finish := make(chan struct{}), make(chan struct{})
	server.Register("example.Slow", map[string]ttrpc.Method{
		"Work": func(_ context.Context, unmarshal func(any) error) (any, error) {
			close(begun)
			<-finish
			return &inventory.Item{Name: "finished"}, nil
		},
	})
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), l) }()

	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	client := ttrpc.NewClient(conn)
	defer client.Close()
	called := make(chan error)
	var resp inventory.Item
	go func() {
		called <- client.Call(context.Background(), "example.Slow", "Work", &inventory.Item{}, &resp)
	}()
	<-begun

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	shutdown := make(chan error)
	go func() { shutdown <- server.Shutdown(ctx) }()
	fmt.Println("Serve:", <-served)
	close(finish)
	fmt.Println("Call:", <-called, resp.Name)
	fmt.Println("Shutdown:", <-shutdown)
	// Output:
	// Serve: ttrpc: server closed
	// Call: <nil> finished
	// Shutdown: <nil>
}

// The error of a call is the server's status, with details, or the reason why the call
// failed on this side.
func ExampleClient_Call_errors() {
	socket, stop := serveShelf()
	defer stop()
	client := dialShelf(socket)
	stub := inventory.NewInventoryClient(client)

	_, err := stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: "bold"})
	st := status.Convert(err)
	fmt.Println(st.Code(), st.Message())
	if missing, ok := details.Find[*inventory.ItemMissing](err); ok {
		fmt.Println("similar:", missing.Similar)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err = stub.Restock(ctx, &inventory.RestockRequest{})
	fmt.Println(err == context.DeadlineExceeded)

	var tooLong *ttrpc.OversizedMessageErr
	_, err = stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: strings.Repeat("x", 5<<20)})
	if errors.As(err, &tooLong) {
		fmt.Println("the limit is", tooLong.MaximumLength())
	}

	client.Close()
	_, err = stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"})
	fmt.Println(err == ttrpc.ErrClosed)
	// Output:
	// NotFound no such item
	// similar: [bolt]
	// true
	// the limit is 4194304
	// true
}

// Generated code uses the three kinds of streams in this way.
func ExampleClient_NewStream() {
	socket, stop := serveShelf()
	defer stop()
	client := dialShelf(socket)
	defer client.Close()
	stub := inventory.NewInventoryClient(client)
	// The end of ctx ends the stream.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	list, err := stub.ListItems(ctx, &inventory.ListItemsRequest{})
	if err != nil {
		log.Fatal(err)
	}
	for {
		item, err := list.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("listed", item.Name)
	}

	add, err := stub.AddItems(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for count := int64(1); count <= 3; count++ {
		if err := add.Send(&inventory.Item{Name: "nut", Count: count}); err != nil {
			log.Fatal(err)
		}
	}
	sum, err := add.CloseAndRecv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("added", sum.Count, "with", sum.Items, "messages")

	count, err := stub.CountItems(ctx)
	if err != nil {
		log.Fatal(err)
	}
	if err := count.Send(&inventory.CountItemsRequest{Name: "washer"}); err != nil {
		log.Fatal(err)
	}
	answer, err := count.Recv()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("counted", answer.Count)
	if err := count.CloseSend(); err != nil {
		log.Fatal(err)
	}
	_, err = count.Recv()
	fmt.Println(err)
	// Output:
	// listed bolt
	// listed nut
	// listed washer
	// added 6 with 3 messages
	// counted 6
	// EOF
}

func ExampleWithMetadata() {
	socket, stop := serveShelf()
	defer stop()
	client := dialShelf(socket)
	defer client.Close()

	ctx := ttrpc.WithMetadata(context.Background(), ttrpc.MD{"user": {"ada"}})
	item, err := inventory.NewInventoryClient(client).TakeItem(ctx, &inventory.TakeItemRequest{Name: "bolt", Count: 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(item.Count, item.Name)
	// Output: 4 bolt for ada
}

// The first interceptor of a chain is the outermost.
func ExampleWithChainUnaryServerInterceptor() {
	say := func(what string) ttrpc.UnaryServerInterceptor {
		return func(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
			fmt.Println(what, "before", info.FullMethod)
			defer fmt.Println(what, "after")
			return method(ctx, unmarshal)
		}
	}
	socket, stop := serveShelf(ttrpc.WithChainUnaryServerInterceptor(say("outer"), say("inner")))
	defer stop()
	client := dialShelf(socket)
	defer client.Close()

	if _, err := inventory.NewInventoryClient(client).GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"}); err != nil {
		log.Fatal(err)
	}
	// Output:
	// outer before /ttrpc.example.inventory.v1.Inventory/GetItem
	// inner before /ttrpc.example.inventory.v1.Inventory/GetItem
	// inner after
	// outer after
}

// A client's interceptor may change the request before it is sent.
func ExampleWithUnaryClientInterceptor() {
	socket, stop := serveShelf()
	defer stop()
	client := dialShelf(socket, ttrpc.WithUnaryClientInterceptor(
		func(ctx context.Context, req *ttrpc.Request, resp *ttrpc.Response, info *ttrpc.UnaryClientInfo, next ttrpc.Invoker) error {
			req.Metadata = append(req.Metadata, &ttrpc.KeyValue{Key: "user", Value: "grace"})
			return next(ctx, req, resp)
		}))
	defer client.Close()

	item, err := inventory.NewInventoryClient(client).TakeItem(context.Background(), &inventory.TakeItemRequest{Name: "nut", Count: 1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(item.Name)
	// Output: nut for grace
}

// A stream interceptor may wrap the stream to see its messages.
func ExampleWithStreamServerInterceptor() {
	socket, stop := serveShelf(ttrpc.WithStreamServerInterceptor(
		func(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
			counted := &countingStream{StreamServer: stream}
			defer func() { fmt.Println(counted.sent, "messages sent") }()
			return handler(ctx, counted)
		}))
	defer stop()
	client := dialShelf(socket)
	defer client.Close()

	list, err := inventory.NewInventoryClient(client).ListItems(context.Background(), &inventory.ListItemsRequest{})
	for err == nil {
		_, err = list.Recv()
	}
	fmt.Println(err)
	// Output:
	// 3 messages sent
	// EOF
}

type countingStream struct {
	ttrpc.StreamServer
	sent int
}

func (s *countingStream) SendMsg(m any) error {
	s.sent++
	return s.StreamServer.SendMsg(m)
}

// The callback of WithOnClose runs after the end of the connection, by either side.
func ExampleWithOnClose() {
	socket, stop := serveShelf()
	client := dialShelf(socket, ttrpc.WithOnClose(func() { fmt.Println("the connection is closed") }))
	if _, err := inventory.NewInventoryClient(client).GetItem(context.Background(), &inventory.GetItemRequest{Name: "bolt"}); err != nil {
		log.Fatal(err)
	}
	stop() // the server goes away
	if err := client.UserOnCloseWait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Println("and OnClose has returned")
	// Output:
	// the connection is closed
	// and OnClose has returned
}

// The server does not trust its users, but allows them longer messages than
// WithServerUntrustedPeers does.
func ExampleWithServerUntrustedPeers() {
	socket, stop := serveShelf(
		ttrpc.WithServerUntrustedPeers(),
		ttrpc.WithServerLimits(ttrpc.Limits{MaxMessageLength: 2 << 20}))
	defer stop()
	client := dialShelf(socket)
	defer client.Close()
	stub := inventory.NewInventoryClient(client)

	for _, mebibytes := range []int{1, 3} {
		name := strings.Repeat("x", mebibytes<<20)
		_, err := stub.GetItem(context.Background(), &inventory.GetItemRequest{Name: name})
		fmt.Println(mebibytes, "MiB:", status.Code(err))
	}
	// Output:
	// 1 MiB: NotFound
	// 3 MiB: ResourceExhausted
}
