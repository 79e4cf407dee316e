package watch

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/internal/frame"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A script feeds a Watcher with frames, at times of its own, and keeps the events.
type script struct {
	w      Watcher
	now    time.Time
	events []*Event
}

func newScript() *script {
	s := &script{now: time.Unix(1000, 0)}
	s.w.Emit = func(e *Event) { s.events = append(s.events, e) }
	return s
}

func (s *script) bytes(dir proxy.Direction, b []byte) {
	s.now = s.now.Add(time.Millisecond)
	s.w.Take(&proxy.Item{Conn: 1, Dir: dir, Kind: proxy.Bytes, Time: s.now, Bytes: b})
}

func (s *script) item(kind proxy.Kind, dir proxy.Direction) {
	s.w.Take(&proxy.Item{Conn: 1, Dir: dir, Kind: kind, Time: s.now})
}

// last returns the last event.
func (s *script) last() *Event { return s.events[len(s.events)-1] }

func encode(id uint32, typ frame.Type, flags uint8, body []byte) []byte {
	b := make([]byte, frame.HeaderLength, frame.HeaderLength+len(body))
	frame.Header{Length: uint32(len(body)), ID: id, Type: typ, Flags: flags}.Put(b)
	return append(b, body...)
}

func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func request(id uint32, flags uint8) []byte {
	return encode(id, frame.TypeRequest, flags, marshal(&ttrpc.Request{Service: "test.Service", Method: "Do"}))
}

func offering(id uint32) []byte {
	offer := frame.Settings{Version: 1, Features: frame.FeatureCancel | frame.FeaturePing}.Append(nil)
	b := marshal(&ttrpc.Request{Service: "test.Service", Method: "Do"})
	b = protowire.AppendTag(b, frame.FieldOffer, protowire.BytesType)
	return encode(id, frame.TypeRequest, 0, protowire.AppendBytes(b, offer))
}

func settings() []byte {
	return encode(0, frame.TypeSettings, 0, frame.Settings{Version: 1, Features: frame.FeatureCancel, MaxMessage: 8 << 20}.Append(nil))
}

func ack() []byte { return encode(0, frame.TypeSettings, frame.FlagAck, nil) }

func response(id uint32, code codes.Code) []byte {
	return encode(id, frame.TypeResponse, 0, marshal(&ttrpc.Response{Status: &spb.Status{Code: int32(code), Message: "why"}}))
}

func data(id uint32, flags uint8, body string) []byte {
	return encode(id, frame.TypeData, flags, []byte(body))
}

func cancel(id uint32) []byte {
	return encode(0, frame.TypeCancel, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, id), uint32(codes.Canceled)))
}

const (
	c = proxy.ToServer // from the client
	s = proxy.ToClient // from the server
)

// step is a frame from one side.
type step struct {
	dir proxy.Direction
	b   []byte
}

// The last frame of each row breaks a rule, or does not.
func TestRules(t *testing.T) {
	open := frame.FlagRemoteOpen | frame.FlagNoData
	last := frame.FlagRemoteClosed | frame.FlagNoData
	hello := []step{{c, offering(1)}, {s, settings()}, {c, ack()}, {s, response(1, 0)}}
	for _, test := range []struct {
		name  string
		steps []step
		want  string // in the violations and notes; "" for none
	}{
		{"unary", []step{{c, request(1, 0)}, {s, response(1, codes.NotFound)}}, ""},
		{"server stream", []step{{c, request(1, frame.FlagRemoteClosed)}, {s, data(1, 0, "x")}, {s, data(1, last, "")}}, ""},
		{"client stream", []step{{c, request(1, open)}, {c, data(1, 0, "x")}, {c, data(1, last, "")}, {s, response(1, 0)}}, ""},
		{"negotiation", hello, ""},
		{"even id", []step{{c, request(2, 0)}}, "must be odd"},
		{"answer to an even id", []step{{c, request(2, 0)}, {s, response(2, codes.InvalidArgument)}}, "an answer"},
		{"id in use", []step{{c, request(1, 0)}, {c, request(1, 0)}}, "in use"},
		{"lower id", []step{{c, request(3, 0)}, {c, request(1, 0)}}, "lower stream id"},
		{"both flags", []step{{c, request(1, frame.FlagRemoteClosed|frame.FlagRemoteOpen)}}, "together"},
		{"no request", []step{{c, encode(1, frame.TypeRequest, 0, []byte("\xff"))}}, "cannot be decoded"},
		{"no response", []step{{c, request(1, 0)}, {s, encode(1, frame.TypeResponse, 0, []byte("\xff"))}}, "cannot be decoded"},
		{"no status", []step{{c, request(1, 0)}, {s, encode(1, frame.TypeResponse, 0, nil)}}, ""},
		{"data on an unused id", []step{{c, data(1, 0, "x")}}, "no request has used"},
		{"data for a stream that has ended", []step{{c, request(1, open)}, {s, response(1, 0)}, {c, data(1, 0, "x")}}, "has ended"},
		{"data after the last", []step{{c, request(1, open)}, {c, data(1, last, "")}, {c, data(1, 0, "x")}}, "after the client's last"},
		{"data for a unary call", []step{{c, request(1, 0)}, {c, data(1, 0, "x")}}, "unary call"},
		{"data from the server for a unary call", []step{{c, request(1, 0)}, {s, data(1, 0, "x")}}, "unary call"},
		{"last with a message", []step{{c, request(1, open)}, {c, data(1, frame.FlagRemoteClosed, "x")}}, "with a message"},
		{"response from a client", []step{{c, response(1, 0)}}, "sends no responses"},
		{"request from a server", []step{{s, request(1, 0)}}, "responses and data alone"},
		{"response twice", []step{{c, request(1, 0)}, {s, response(1, 0)}, {s, response(1, 0)}}, "no call with that stream id"},
		{"another type", []step{{c, encode(1, 9, 0, nil)}}, "does not have"},
		{"other flags", []step{{c, request(1, 0x40)}}, "without a meaning"},
		{"no frames", []step{{c, []byte("GET / HTTP/1.1\r\n\r\n")}}, "not zero"},
		{"over the limit", []step{{c, data(1, 0, strings.Repeat("x", 4<<20+1))}}, "limit of 4194304"},
		{"within the server's limit", append(hello, step{c, request(3, open)}, step{c, data(3, 0, strings.Repeat("x", 5<<20))}), "too long to be looked into"},
		{"settings without an offer", []step{{s, settings()}}, "without an offer"},
		{"settings twice", append(hello, step{s, settings()}), "second time"},
		{"settings from the client", append(hello, step{c, settings()}), "wrong side"},
		{"acknowledgement without settings", []step{{c, offering(1)}, {c, ack()}}, "without settings"},
		{"cancel too early", []step{{c, offering(1)}, {c, cancel(1)}}, "before they are negotiated"},
		{"cancel", append(hello, step{c, request(3, 0)}, step{c, cancel(3)}), ""},
		{"response after cancel", append(hello, step{c, request(3, 0)}, step{c, cancel(3)}, step{s, response(3, 0)}), "has cancelled"},
		{"cancel from the server", append(hello, step{s, cancel(1)}), "other side alone"},
		{"short cancel", append(hello, step{c, encode(0, frame.TypeCancel, 0, []byte("short"))}), "too short"},
		{"reserved type", append(hello, step{c, encode(0, 0x7f, 0, nil)}), "reserved"},
		{"extension without an offer", []step{{s, encode(0, frame.TypePong, 0, make([]byte, 8))}}, "responses and data alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sc := newScript()
			for i, st := range test.steps {
				sc.bytes(st.dir, st.b)
				if e := sc.last(); i < len(test.steps)-1 && len(e.Violations) > 0 && !strings.HasPrefix(test.name, "answer") && !strings.HasPrefix(test.name, "response") {
					t.Errorf("frame %d: %q", i, e.Violations)
				}
			}
			e := sc.last()
			got := strings.Join(append(e.Violations, e.Notes...), "; ")
			if (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// The events are the same however the bytes are cut.
func TestCuts(t *testing.T) {
	stream := append(append(append(request(1, 0), request(3, frame.FlagRemoteOpen)...), data(3, 0, "hello")...), data(3, frame.FlagRemoteClosed|frame.FlagNoData, "")...)
	var want string
	for _, n := range []int{len(stream), 1, 2, 7, 10, 11, 30} {
		sc := newScript()
		for at := 0; at < len(stream); at += n {
			sc.bytes(c, stream[at:min(len(stream), at+n)])
		}
		var got string
		for _, e := range sc.events {
			got += fmt.Sprintln(e.Header, e.Call.Name(), e.Violations, e.Notes, e.Begins)
		}
		if want == "" {
			want = got
		}
		if got != want {
			t.Errorf("in pieces of %d bytes:\n%s\nwant:\n%s", n, got, want)
		}
		if sc.w.held != 0 {
			t.Errorf("%d bytes are held", sc.w.held)
		}
	}
}

// A call has its duration, its bytes and its status at the end.
func TestCall(t *testing.T) {
	sc := newScript()
	req := marshal(&ttrpc.Request{Service: "s", Method: "m", TimeoutNano: int64(time.Second), Metadata: []*ttrpc.KeyValue{{Key: "k", Value: "v"}}})
	sc.bytes(c, encode(1, frame.TypeRequest, 0, req))
	if e := sc.last(); !e.Begins || e.Timeout != time.Second || len(e.Metadata) != 1 || e.Call.Name() != "s/m" {
		t.Errorf("got %+v", e)
	}
	sc.w.Running(sc.now.Add(time.Second), time.Second)
	if e := sc.last(); e.Kind != KindRunning || e.Call.Stream != 1 {
		t.Errorf("got %+v", e)
	}
	n := len(sc.events)
	sc.w.Running(sc.now.Add(2*time.Second), time.Second)
	if len(sc.events) != n {
		t.Error("the call is reported again")
	}
	sc.bytes(s, response(1, codes.NotFound))
	e := sc.last()
	if !e.Ends || e.Call.Duration() != time.Millisecond || e.Call.Code != codes.NotFound || e.Call.Bytes[c] != len(req) || e.Status.Message != "why" {
		t.Errorf("got %+v, %+v", e, e.Call)
	}
}

// A connection that ends has told its open calls, and the bytes of a frame that is not
// whole.
func TestEnd(t *testing.T) {
	sc := newScript()
	sc.item(proxy.Opened, c)
	sc.bytes(c, request(1, 0))
	sc.bytes(c, request(3, 0)[:15])
	sc.item(proxy.Ended, c)
	if e := sc.last(); len(e.Violations) != 1 || !strings.Contains(e.Violations[0], "5 of") {
		t.Errorf("got %+v", e)
	}
	sc.item(proxy.Ended, s)
	sc.item(proxy.Closed, c)
	call := sc.events[len(sc.events)-2]
	if e := sc.last(); !strings.Contains(e.Text, "test.Service/Do on stream 1") || !call.Ends || call.Call.Code != codeLost {
		t.Errorf("got %+v, %+v", e, call)
	}
	if len(sc.w.conns) != 0 || sc.w.held != 0 {
		t.Errorf("%d connections and %d bytes are left", len(sc.w.conns), sc.w.held)
	}
}

// After a gap the frames go on, and nothing is a violation of which the reason may be in
// the gap.
func TestGap(t *testing.T) {
	sc := newScript()
	sc.bytes(c, request(1, 0)[:12])
	sc.w.Take(&proxy.Item{Conn: 1, Dir: c, Kind: proxy.Gap, Time: sc.now, Lost: 100})
	sc.bytes(c, data(9, 0, "x"))
	sc.bytes(s, response(5, 0))
	for _, e := range sc.events {
		if len(e.Violations) > 0 {
			t.Errorf("%+v", e)
		}
	}
	if e := sc.last(); e.Header.ID != 5 || e.Kind != KindFrame {
		t.Errorf("got %+v", e)
	}
}

// Frames that claim to be long hold no more memory than has come, and no more than the
// limit in all.
func TestHeld(t *testing.T) {
	sc := newScript()
	for id := 1; id <= 20; id++ {
		b := encode(1, frame.TypeData, 0, make([]byte, 4<<20))
		sc.w.Take(&proxy.Item{Conn: id, Dir: c, Kind: proxy.Bytes, Time: sc.now, Bytes: b[:len(b)-1]})
		if sc.w.held > maxHeld {
			t.Fatalf("%d bytes are held, of at most %d", sc.w.held, maxHeld)
		}
	}
	if sc.w.held < maxHeld/2 {
		t.Errorf("%d bytes are held", sc.w.held)
	}
}
