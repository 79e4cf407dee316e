package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/details"
	"github.com/containerd/ttrpc/example/inventory"
)

// callLimit bounds each step of the walk.
const callLimit = 10 * time.Second

// walker runs the client's half of the walk.
type walker struct {
	stub  inventory.InventoryClient
	calls *callLog
	out   *transcript
}

// walk makes calls of every kind and prints their results.
func walk(ctx context.Context, client *ttrpc.Client, calls *callLog, out *transcript) (*walker, error) {
	w := &walker{stub: inventory.NewInventoryClient(client), calls: calls, out: out}
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"A unary call", w.unary},
		{"Metadata", w.metadata},
		{"Interceptors", w.interceptors},
		{"Peer credentials", w.credentials},
		{"A stream from the server", w.serverStream},
		{"A stream from the client", w.clientStream},
		{"A stream both ways", w.bothWays},
		{"Errors with details", w.details},
		{"A deadline", w.deadline},
		{"A stream that is given up", w.cancelledStream},
		{"A stream that nobody reads for a while", w.unreadStream},
	} {
		if err := w.step(ctx, step.title, step.do); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// step runs one step of the walk. The time limit is not a deadline of ctx, since a deadline
// would be sent to the server with each call.
func (w *walker) step(ctx context.Context, title string, do func(context.Context) error) error {
	w.out.step(title)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	limit := time.AfterFunc(callLimit, cancel)
	err := do(ctx)
	if !limit.Stop() {
		err = fmt.Errorf("it took longer than %v", callLimit)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", title, err)
	}
	return nil
}

func (w *walker) unary(ctx context.Context) error {
	item, err := w.stub.GetItem(ctx, &inventory.GetItemRequest{Name: "bolt"})
	if err != nil {
		return err
	}
	w.out.client("there are %d of %q", item.Count, item.Name)
	return nil
}

func (w *walker) metadata(ctx context.Context) error {
	ctx = ttrpc.WithMetadata(ctx, ttrpc.MD{"user": {"ada"}, "role": {"mechanic", "buyer"}})
	item, err := w.stub.TakeItem(ctx, &inventory.TakeItemRequest{Name: "bolt", Count: 4})
	if err != nil {
		return err
	}
	w.out.client("took 4 of %q, %d are left; the server saw who asked", item.Name, item.Count)
	return nil
}

func (w *walker) interceptors(ctx context.Context) error {
	if _, err := w.stub.GetItem(ctx, &inventory.GetItemRequest{Name: "nut"}); err != nil {
		return err
	}
	calls, method, took := w.calls.last()
	w.out.client("an interceptor gave this call request-id %d", calls)
	w.out.client("and timed it: %s took %v;", method, took.Round(time.Microsecond))
	w.out.client("the lines of the server are from interceptors of its own")
	return nil
}

func (w *walker) credentials(ctx context.Context) error {
	w.out.client("I am pid %d, uid %d, gid %d", os.Getpid(), os.Geteuid(), os.Getegid())
	if _, err := w.stub.GetItem(ctx, &inventory.GetItemRequest{Name: "washer"}); err != nil {
		return err
	}
	w.out.client("that is what the kernel told the server (on Linux), which admits its own user only")
	return nil
}

func (w *walker) serverStream(ctx context.Context) error {
	stream, err := w.stub.ListItems(ctx, &inventory.ListItemsRequest{})
	if err != nil {
		return err
	}
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			w.out.client("end of the list")
			return nil
		}
		if err != nil {
			return err
		}
		w.out.client("received %d of %q", item.Count, item.Name)
	}
}

func (w *walker) clientStream(ctx context.Context) error {
	stream, err := w.stub.AddItems(ctx)
	if err != nil {
		return err
	}
	for _, item := range []*inventory.Item{{Name: "bolt", Count: 24}, {Name: "screw", Count: 500}, {Name: "nut", Count: 2}} {
		if err := stream.Send(item); err != nil {
			return err
		}
		w.out.client("sent %d of %q", item.Count, item.Name)
	}
	sum, err := stream.CloseAndRecv()
	if err != nil {
		return err
	}
	w.out.client("the server added %d messages, %d pieces", sum.Items, sum.Count)
	return nil
}

func (w *walker) bothWays(ctx context.Context) error {
	stream, err := w.stub.CountItems(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{"bolt", "screw", "spanner"} {
		if err := stream.Send(&inventory.CountItemsRequest{Name: name}); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		w.out.client("%s? %d", name, answer.Count)
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last answer: %v, not the end", err)
	}
	w.out.client("done on both sides")
	return nil
}

func (w *walker) details(ctx context.Context) error {
	_, err := w.stub.GetItem(ctx, &inventory.GetItemRequest{Name: "bold"})
	if err := w.printError(err); err != nil {
		return err
	}
	_, err = w.stub.TakeItem(ctx, &inventory.TakeItemRequest{Name: "nut", Count: 1000})
	return w.printError(err)
}

// printError prints the status and the details in the error of a call.
func (w *walker) printError(err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return fmt.Errorf("got %v, not a status", err)
	}
	w.out.client("%v: %s", st.Code(), st.Message())
	if missing, ok := details.Find[*inventory.ItemMissing](err); ok {
		w.out.client("  its details: %q is missing, similar: %s", missing.Name, strings.Join(missing.Similar, ", "))
	}
	if short, ok := details.Find[*inventory.Shortage](err); ok {
		w.out.client("  its details: %d of %q wanted, %d available", short.Wanted, short.Name, short.Available)
	}
	return nil
}

func (w *walker) deadline(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err := w.stub.Restock(ctx, &inventory.RestockRequest{Delivery: durationpb.New(time.Hour)})
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	w.out.client("Restock: %v", err)
	return nil
}

// cancelledStream gives up a stream in the middle. A server with extensions is told, and the
// context of its handler ends.
func (w *walker) cancelledStream(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.stub.CountItems(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&inventory.CountItemsRequest{Name: "nut"}); err != nil {
		return err
	}
	answer, err := stream.Recv()
	if err != nil {
		return err
	}
	w.out.client("nut? %d", answer.Count)
	cancel()
	if _, err := stream.Recv(); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("got %v, want %v", err, context.Canceled)
	}
	w.out.client("gave up the stream, and told the server")
	return nil
}

// unreadStream asks more than the window of a stream has room for before it reads the first
// answer. Between two sides with extensions the senders wait meanwhile, and no other call.
func (w *walker) unreadStream(ctx context.Context) error {
	const questions = 60_000
	stream, err := w.stub.CountItems(ctx)
	if err != nil {
		return err
	}
	asked := make(chan error, 1)
	go func() {
		for i := 0; i < questions; i++ {
			if err := stream.Send(&inventory.CountItemsRequest{Name: "washer"}); err != nil {
				asked <- err
				return
			}
		}
		asked <- stream.CloseSend()
	}()
	if _, err := w.stub.GetItem(ctx, &inventory.GetItemRequest{Name: "washer"}); err != nil {
		return err
	}
	w.out.client("no answer is read yet, and a call beside the stream is answered")
	answers := 0
	for {
		_, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		answers++
	}
	if err := <-asked; err != nil {
		return err
	}
	if answers != questions {
		return fmt.Errorf("got %d answers to %d questions", answers, questions)
	}
	w.out.client("read the answers to %d questions", answers)
	return nil
}

// shutdown stops the server during a stream, which the server lets finish.
func (w *walker) shutdown(ctx context.Context, stop func()) error {
	stream, err := w.stub.CountItems(ctx)
	if err != nil {
		return err
	}
	ask := func() error {
		if err := stream.Send(&inventory.CountItemsRequest{Name: "bolt"}); err != nil {
			return err
		}
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		w.out.client("bolt? %d", answer.Count)
		return nil
	}
	if err := ask(); err != nil {
		return err
	}
	w.out.client("the server is told to stop, the stream goes on")
	stop()
	if err := ask(); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the last answer: %v, not the end", err)
	}
	w.out.client("done, and the server closes the connection")
	return nil
}
