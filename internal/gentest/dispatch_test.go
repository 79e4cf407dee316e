package gentest

import (
	"context"
	"testing"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/gentest/exercise"
	gogobasic "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/basic"
	gogonames "github.com/containerd/ttrpc/internal/gentest/testdata/gogo/names"
	pbbasic "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/basic"
	pbnames "github.com/containerd/ttrpc/internal/gentest/testdata/pbgo/names"
)

// The methods of two_words have one name in Go, and each its own on the wire.
// They answer with their Go name.

type pbTwoWordsLower struct{}

func (pbTwoWordsLower) GetIt(context.Context, *pbnames.Note) (*pbnames.Note, error) {
	return &pbnames.Note{Text: "GetIt"}, nil
}
func (pbTwoWordsLower) GetIt_(context.Context, *pbnames.Note) (*pbnames.Note, error) {
	return &pbnames.Note{Text: "GetIt_"}, nil
}
func (pbTwoWordsLower) GetIt__(context.Context, *pbnames.Note) (*pbnames.Note, error) {
	return &pbnames.Note{Text: "GetIt__"}, nil
}
func (pbTwoWordsLower) Watch(_ context.Context, _ *pbnames.Note, s pbnames.TwoWords__WatchServer) error {
	return s.Send(&pbnames.Note{Text: "Watch"})
}
func (pbTwoWordsLower) Watch_(_ context.Context, _ *pbnames.Note, s pbnames.TwoWords__Watch_Server) error {
	return s.Send(&pbnames.Note{Text: "Watch_"})
}

type gogoTwoWordsLower struct{}

func (gogoTwoWordsLower) GetIt(context.Context, *gogonames.Note) (*gogonames.Note, error) {
	return &gogonames.Note{Text: "GetIt"}, nil
}
func (gogoTwoWordsLower) GetIt_(context.Context, *gogonames.Note) (*gogonames.Note, error) {
	return &gogonames.Note{Text: "GetIt_"}, nil
}
func (gogoTwoWordsLower) GetIt__(context.Context, *gogonames.Note) (*gogonames.Note, error) {
	return &gogonames.Note{Text: "GetIt__"}, nil
}
func (gogoTwoWordsLower) Watch(_ context.Context, _ *gogonames.Note, s gogonames.TwoWords__WatchServer) error {
	return s.Send(&gogonames.Note{Text: "Watch"})
}
func (gogoTwoWordsLower) Watch_(_ context.Context, _ *gogonames.Note, s gogonames.TwoWords__Watch_Server) error {
	return s.Send(&gogonames.Note{Text: "Watch_"})
}

// dispatch has the name on the wire of each method of two_words, and the Go name.
var dispatch = []struct{ wire, goName string }{
	{"GetIt", "GetIt"},
	{"get_it", "GetIt_"},
	{"getIt", "GetIt__"},
}

func TestMethodsWithOneGoName(t *testing.T) {
	ctx := context.Background()
	const service = "ttrpc.gentest.names.two_words"

	t.Run("protobuf-go", func(t *testing.T) {
		client := exercise.Connect(t, func(srv *ttrpc.Server) { pbnames.RegisterTwoWords_Service(srv, pbTwoWordsLower{}) })
		for _, d := range dispatch {
			resp := new(pbnames.Note)
			if err := client.Call(ctx, service, d.wire, &pbnames.Note{}, resp); err != nil || resp.Text != d.goName {
				t.Errorf("calling %s: got %q and error %v, want %q", d.wire, resp.Text, err, d.goName)
			}
		}
		c := pbnames.NewTwoWords_Client(client)
		for want, call := range map[string]func(context.Context, *pbnames.Note) (*pbnames.Note, error){
			"GetIt": c.GetIt, "GetIt_": c.GetIt_, "GetIt__": c.GetIt__,
			"Watch":  func(ctx context.Context, m *pbnames.Note) (*pbnames.Note, error) { return first(c.Watch(ctx, m)) },
			"Watch_": func(ctx context.Context, m *pbnames.Note) (*pbnames.Note, error) { return first(c.Watch_(ctx, m)) },
		} {
			if resp, err := call(ctx, &pbnames.Note{}); err != nil || resp.Text != want {
				t.Errorf("%s: got %v and error %v", want, resp, err)
			}
		}
	})

	t.Run("gogo", func(t *testing.T) {
		client := exercise.Connect(t, func(srv *ttrpc.Server) { gogonames.RegisterTwoWords_Service(srv, gogoTwoWordsLower{}) })
		for _, d := range dispatch {
			resp := new(gogonames.Note)
			if err := client.Call(ctx, service, d.wire, &gogonames.Note{}, resp); err != nil || resp.Text != d.goName {
				t.Errorf("calling %s: got %q and error %v, want %q", d.wire, resp.Text, err, d.goName)
			}
		}
		c := gogonames.NewTwoWords_Client(client)
		for want, call := range map[string]func(context.Context, *gogonames.Note) (*gogonames.Note, error){
			"GetIt": c.GetIt, "GetIt_": c.GetIt_, "GetIt__": c.GetIt__,
			"Watch":  func(ctx context.Context, m *gogonames.Note) (*gogonames.Note, error) { return first(c.Watch(ctx, m)) },
			"Watch_": func(ctx context.Context, m *gogonames.Note) (*gogonames.Note, error) { return first(c.Watch_(ctx, m)) },
		} {
			if resp, err := call(ctx, &gogonames.Note{}); err != nil || resp.Text != want {
				t.Errorf("%s: got %v and error %v", want, resp, err)
			}
		}
	})
}

// first returns the first message of a stream that was just opened.
func first[M any, S interface{ Recv() (M, error) }](s S, err error) (M, error) {
	if err != nil {
		var none M
		return none, err
	}
	return s.Recv()
}

// A method that begins with a lower-case letter is called by its name in the
// proto file. Servers of earlier releases know it by its Go name alone, so that
// programs may have come to call it so.
func TestLowerCaseMethodNames(t *testing.T) {
	ctx := context.Background()
	const service = "ttrpc.gentest.basic.Notes"
	bidi := &ttrpc.StreamDesc{StreamingClient: true, StreamingServer: true}

	t.Run("protobuf-go", func(t *testing.T) {
		client := exercise.Connect(t, func(srv *ttrpc.Server) { pbbasic.RegisterNotesService(srv, pbNotes{}) })
		for _, method := range []string{"lowercase", "Lowercase"} {
			resp := new(pbbasic.Note)
			if err := client.Call(ctx, service, method, &pbbasic.Note{Text: method}, resp); err != nil || resp.Text != method {
				t.Errorf("calling %s: got %q and error %v", method, resp.Text, err)
			}
		}
		for _, method := range []string{"lower_stream", "LowerStream"} {
			stream, err := client.NewStream(ctx, bidi, service, method, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp := new(pbbasic.Note)
			if err := stream.SendMsg(&pbbasic.Note{Text: method}); err != nil {
				t.Errorf("%s: %v", method, err)
			}
			if err := stream.RecvMsg(resp); err != nil || resp.Text != method {
				t.Errorf("streaming %s: got %q and error %v", method, resp.Text, err)
			}
			if err := stream.CloseSend(); err != nil {
				t.Errorf("%s: %v", method, err)
			}
		}
	})

	t.Run("gogo", func(t *testing.T) {
		client := exercise.Connect(t, func(srv *ttrpc.Server) { gogobasic.RegisterNotesService(srv, gogoNotes{}) })
		resp := new(gogobasic.Note)
		if err := client.Call(ctx, service, "lowercase", &gogobasic.Note{Text: "a"}, resp); err != nil || resp.Text != "a" {
			t.Errorf("got %q and error %v", resp.Text, err)
		}
	})
}
