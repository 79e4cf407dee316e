package ttrpc

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"
)

const defaultMaxDetails = 32768

// encodedStatus returns a response whose status has n details like d.
func encodedStatus(t testing.TB, code codes.Code, n int, d *anypb.Any) []byte {
	t.Helper()
	b := mustMarshal(&spb.Status{Code: int32(code), Message: "with details"})
	one := protowire.AppendBytes(protowire.AppendTag(nil, statusDetails, protowire.BytesType), mustMarshal(d))
	b = append(b, bytes.Repeat(one, n)...)
	return protowire.AppendBytes(protowire.AppendTag(nil, responseStatus, protowire.BytesType), b)
}

func manyDetails(n int) *anypb.Any {
	return &anypb.Any{TypeUrl: strings.Repeat("u", n), Value: bytes.Repeat([]byte("v"), n)}
}

// A response that consists of details costs a client a few times its bytes, or those of the
// longest message. The error with the details costs no more than limits count for them.
func TestDetailsCost(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	const longest = defaultMaxMessageLength
	for _, length := range []int{0, 1, 9, 17, 33, 49, 65, 129, 513, 1025, 32769, longest/2 - 100} {
		d := manyDetails(length)
		most := (longest - 100) / (2*length + 20)
		if length == 0 {
			most = (longest - 100) / 2
		}
		for _, n := range []int{most, min(most, defaultMaxDetails)} {
			frame := encodedStatus(t, codes.NotFound, n, d)
			if len(frame) > longest {
				t.Fatalf("a response of %d bytes", len(frame))
			}
			live := heapInUse()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := openResponse(&buffer{b: frame}, maxDetails(longest))
			runtime.ReadMemStats(&after)
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(5*longest); got > most {
				t.Errorf("%d details with %d bytes twice: %d bytes of heap for a response of %d, want at most %d", n, length, got, len(frame), most)
			}
			live = heapInUse() - live
			if most := int64(n*(2*length+detailOverhead))*5/4 + 16<<10; live > most {
				t.Errorf("%d details with %d bytes twice: the error keeps %d bytes, want at most %d", n, length, live, most)
			}
			want := codes.NotFound
			if n > defaultMaxDetails {
				want = codes.ResourceExhausted
			}
			if status.Code(err) != want {
				t.Errorf("%d details with %d bytes twice: got %.200v, want %v", n, length, err, want)
			}
			runtime.KeepAlive(frame)
			runtime.KeepAlive(err)
		}
	}
}

// Details up to the limit arrive, many small ones or big ones. Beyond the limit the call or
// the stream fails, and the connection goes on.
func TestDetailsLimit(t *testing.T) {
	respond := func(code codes.Code, n int, d *anypb.Any) []byte { return encodedStatus(t, code, n, d) }
	twice := func(n int) []byte {
		return append(respond(codes.NotFound, n, &anypb.Any{}), respond(codes.NotFound, n, &anypb.Any{})...)
	}
	for name, test := range map[string]struct {
		body    []byte
		limits  Limits
		code    codes.Code
		details int
	}{
		"as many":       {respond(codes.NotFound, defaultMaxDetails, &anypb.Any{}), Limits{}, codes.NotFound, defaultMaxDetails},
		"one more":      {respond(codes.NotFound, defaultMaxDetails+1, &anypb.Any{}), Limits{}, codes.ResourceExhausted, 0},
		"in two halves": {twice(defaultMaxDetails / 2), Limits{}, codes.NotFound, defaultMaxDetails},
		"in two parts":  {twice(defaultMaxDetails/2 + 1), Limits{}, codes.ResourceExhausted, 0},
		"with OK":       {respond(codes.OK, defaultMaxDetails+1, &anypb.Any{}), Limits{}, codes.ResourceExhausted, 0},
		"1 MiB":         {respond(codes.NotFound, 1024, manyDetails(512)), Limits{}, codes.NotFound, 1024},
		"4 MiB":         {respond(codes.NotFound, 1, manyDetails(2<<20-100)), Limits{}, codes.NotFound, 1},
		"low limit":     {respond(codes.NotFound, 8, &anypb.Any{}), Limits{MaxMessageLength: 1024}, codes.NotFound, 8},
		"over it":       {respond(codes.NotFound, 9, &anypb.Any{}), Limits{MaxMessageLength: 1024}, codes.ResourceExhausted, 0},
	} {
		for kind, call := range detailsCalls {
			c, w := wireClient(t, WithClientLimits(test.limits))
			go respondAlways(w, test.body)
			for i := 0; i < 2; i++ { // the second shows that the connection goes on
				err := call(t, c)
				st, ok := status.FromError(err)
				if st.Code() != test.code || !ok || len(st.Proto().GetDetails()) != test.details {
					t.Errorf("%s, %s: got %.200v with %d details, want %v with %d", name, kind, err, len(st.Proto().GetDetails()), test.code, test.details)
				}
				if want := fmt.Sprintf("more than %d details", maxDetails(c.cfg.conn.maxLength)); test.details == 0 && !strings.Contains(st.Message(), want) {
					t.Errorf("%s, %s: %q does not say %q", name, kind, st.Message(), want)
				}
			}
		}
	}
}

var detailsCalls = map[string]func(*testing.T, *Client) error{
	"call": func(t *testing.T, c *Client) error {
		return c.Call(testContext(t), testService, "M", &KeyValue{}, &KeyValue{})
	},
	"stream": func(t *testing.T, c *Client) error {
		cs, err := c.NewStream(testContext(t), &StreamDesc{StreamingServer: true}, testService, "M", &KeyValue{})
		if err != nil {
			return err
		}
		return cs.RecvMsg(&KeyValue{})
	},
}

// respondAlways answers every request with body, until the connection ends.
func respondAlways(w *wire, body []byte) {
	for {
		f, err := w.tryRead()
		if err != nil || w.tryWrite(header{id: f.id, typ: messageTypeResponse}, body) != nil {
			return
		}
	}
}
