package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sort"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/example/inventory"
)

// shutdownLimit is the time that running calls have to finish.
const shutdownLimit = 10 * time.Second

// serve answers calls on l until ctx ends. It then lets running calls finish.
func serve(ctx context.Context, l net.Listener, out *transcript) error {
	watch := &callWatch{out: out}
	server, err := ttrpc.NewServer(append(handshake(),
		ttrpc.WithUnaryServerInterceptor(watch.unary),
		ttrpc.WithStreamServerInterceptor(watch.stream))...)
	if err != nil {
		l.Close()
		return err
	}
	inventory.RegisterInventoryService(server, newStock(out))

	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	out.server("no new calls from here on; those that run may finish")
	limit, cancel := context.WithTimeout(context.Background(), shutdownLimit)
	defer cancel()
	if err := server.Shutdown(limit); err != nil {
		server.Close()
		return fmt.Errorf("calls still ran after %v: %w", shutdownLimit, err)
	}
	if err := <-served; !errors.Is(err, ttrpc.ErrServerClosed) {
		return err
	}
	out.server("all connections are closed")
	return nil
}

// callWatch has the server's interceptors, which print each call as it begins.
type callWatch struct{ out *transcript }

func (w *callWatch) unary(ctx context.Context, unmarshal ttrpc.Unmarshaler, info *ttrpc.UnaryServerInfo, method ttrpc.Method) (any, error) {
	w.print(ctx, info.FullMethod)
	return method(ctx, unmarshal)
}

func (w *callWatch) stream(ctx context.Context, stream ttrpc.StreamServer, info *ttrpc.StreamServerInfo, handler ttrpc.StreamHandler) (any, error) {
	w.print(ctx, info.FullMethod)
	return handler(ctx, stream)
}

// print prints the information that a handler has about its call: the peer, from the
// handshake, the metadata and the deadline.
func (w *callWatch) print(ctx context.Context, fullMethod string) {
	line := []string{
		shortName(fullMethod) + " from " + describePeer(ctx),
		"metadata " + describeMetadata(ctx),
	}
	if deadline, ok := ctx.Deadline(); ok {
		line = append(line, "deadline in "+time.Until(deadline).Round(time.Millisecond).String())
	}
	w.out.server("%s", strings.Join(line, "; "))
}

// shortName returns "Method" for "/package.Service/Method".
func shortName(fullMethod string) string {
	return fullMethod[strings.LastIndexByte(fullMethod, '/')+1:]
}

func describeMetadata(ctx context.Context) string {
	md, _ := ttrpc.GetMetadata(ctx)
	var pairs []string
	for key, values := range md {
		for _, value := range values {
			pairs = append(pairs, key+"="+value)
		}
	}
	if len(pairs) == 0 {
		return "none"
	}
	sort.Strings(pairs)
	return strings.Join(pairs, " ")
}
