// Package identify tells the protocol of the server at an address, and measures how long an
// answer takes.
package identify

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// A Protocol is one that a peer may speak.
type Protocol string

const (
	Extended Protocol = "ttrpc with extensions"
	Plain    Protocol = "ttrpc without extensions"
	Foreign  Protocol = "another protocol"
	Silent   Protocol = "silent"  // it accepts connections and sends nothing
	Closed   Protocol = "closing" // it accepts connections and closes them
)

// A Result describes the server at an address.
type Result struct {
	Protocol Protocol
	Name     string          // of another protocol, if it is known
	Saw      string          // the bytes or frames that led to this
	Settings *frame.Settings // of an Extended peer
	Code     codes.Code      // of the answer to a method that no server has
}

// A Session is a connection on which a peer has answered. One goroutine uses it.
type Session struct {
	Result

	conn    net.Conn
	timeout time.Duration
	buf     []byte // bytes that have been read and are no part of a whole frame yet
	lastID  uint32
	number  uint64 // of the last ping
}

// These name a method that no server has. Both ends of this library ask for it.
const (
	askService = "ttrpc.Extensions"
	askMethod  = "Ask"
)

// offer has the one extension that the session uses.
var offer = frame.Settings{Version: 1, Features: frame.FeaturePing}

// Open calls a method that no server has, and looks at the answer. When the peer says
// nothing to that, it tries HTTP/2 on another connection. It fails when there is no
// connection, or ctx ends.
func Open(ctx context.Context, dial func(context.Context) (net.Conn, error), timeout time.Duration) (*Session, net.Conn, error) {
	conn, err := dial(ctx)
	if err != nil {
		return nil, nil, err
	}
	s := &Session{conn: conn, timeout: timeout}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	s.ask(true)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if s.Protocol == Silent || s.Protocol == Closed {
		if second, err := dial(ctx); err == nil {
			s.tryHTTP2(second)
			second.Close()
		}
	}
	return s, conn, nil
}

// ask sends a call, and sets the result by the answer.
func (s *Session) ask(offers bool) {
	err := s.call(offers)
	switch {
	case err == nil:
	case s.Protocol != "": // it has been recognized
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.Protocol, s.Saw = Silent, fmt.Sprintf("no answer to a call within %v", s.timeout)
		if len(s.buf) > 0 {
			s.Protocol, s.Saw = Foreign, fmt.Sprintf("%d bytes that are no frame, and no more within %v: %.32q", len(s.buf), s.timeout, s.buf)
		}
	case len(s.buf) > 0:
		s.Protocol, s.Saw = Foreign, fmt.Sprintf("bytes that are no frame, and then %v: %.32q", err, s.buf)
	default:
		s.Protocol, s.Saw = Closed, fmt.Sprintf("the connection ended after a call: %v", err)
	}
}

// call makes one call, and returns nil when there is a response.
func (s *Session) call(offers bool) error {
	s.lastID = s.nextID()
	s.conn.SetDeadline(time.Now().Add(s.timeout))
	if err := s.send(s.lastID, frame.TypeRequest, 0, request(offers)); err != nil && !errors.Is(err, net.ErrClosed) {
		// The peer may have said something before it closed.
		if readErr := s.response(); readErr != nil && s.Protocol == "" {
			return err
		}
		return nil
	}
	return s.response()
}

func (s *Session) nextID() uint32 {
	if s.lastID == 0 {
		return 1
	}
	return s.lastID + 2
}

func request(offers bool) []byte {
	b, err := proto.Marshal(&ttrpc.Request{Service: askService, Method: askMethod})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	if offers {
		b = protowire.AppendTag(b, frame.FieldOffer, protowire.BytesType)
		b = protowire.AppendBytes(b, offer.Append(nil))
	}
	return b
}

func (s *Session) send(id uint32, typ frame.Type, flags uint8, body []byte) error {
	b := make([]byte, frame.HeaderLength, frame.HeaderLength+len(body))
	frame.Header{Length: uint32(len(body)), ID: id, Type: typ, Flags: flags}.Put(b)
	_, err := s.conn.Write(append(b, body...))
	return err
}

// response reads up to the response of the last call.
func (s *Session) response() error {
	for {
		h, body, err := s.frame()
		if err != nil {
			return err
		}
		switch {
		case h.ID == 0 && h.Type == frame.TypeSettings:
			if settings, ok := frame.ParseSettings(body); ok && s.Settings == nil {
				s.Settings = &settings
				if err := s.send(0, frame.TypeSettings, frame.FlagAck, nil); err != nil {
					return err
				}
			}
		case h.ID == s.lastID && h.Type == frame.TypeResponse:
			return s.answered(h, body)
		}
	}
}

func (s *Session) answered(h frame.Header, body []byte) error {
	var resp ttrpc.Response
	if err := proto.Unmarshal(body, &resp); err != nil {
		s.Protocol, s.Saw = Foreign, fmt.Sprintf("a response that cannot be decoded: %v", err)
		return err
	}
	if s.Protocol != "" {
		return nil
	}
	s.Code = codes.Code(resp.GetStatus().GetCode())
	s.Protocol, s.Saw = Plain, fmt.Sprintf("a response on stream %d with the code %v, and no settings%s", h.ID, s.Code, hint(s.Code))
	if s.Settings != nil {
		s.Protocol, s.Saw = Extended, fmt.Sprintf("settings, and a response on stream %d with the code %v", h.ID, s.Code)
	}
	return nil
}

// hint says which implementations answer so to a method that they do not have.
func hint(code codes.Code) string {
	switch code {
	case codes.NotFound:
		return ", as Go's of up to v1.0.2"
	case codes.Unimplemented:
		return ", as Go's from v1.1.0 on"
	case codes.InvalidArgument:
		return ", as Rust's"
	}
	return ""
}

// maxAnswer is the longest frame that the probe takes.
const maxAnswer = 64 << 10

// frame reads a frame. The body is valid until the next call.
func (s *Session) frame() (h frame.Header, body []byte, err error) {
	if err := s.fill(frame.HeaderLength); err != nil {
		return h, nil, err
	}
	h = frame.Parse(s.buf)
	if s.Protocol == "" && h.Length > maxAnswer {
		return h, nil, s.foreign()
	}
	if h.Length > maxAnswer {
		return h, nil, fmt.Errorf("a frame of %d bytes", h.Length)
	}
	n := frame.HeaderLength + int(h.Length)
	if err := s.fill(n); err != nil {
		return h, nil, err
	}
	body = s.buf[frame.HeaderLength:n:n]
	s.buf = s.buf[n:]
	return h, body, nil
}

var errForeign = errors.New("another protocol")

func (s *Session) foreign() error {
	s.Protocol, s.Name, s.Saw = Foreign, frame.Foreign(s.buf, true), fmt.Sprintf("%.32q", s.buf)
	return errForeign
}

// fill reads until there are n bytes.
func (s *Session) fill(n int) error {
	for len(s.buf) < n {
		b := make([]byte, 4096)
		got, err := s.conn.Read(b)
		s.buf = append(s.buf, b[:got]...)
		if s.Protocol == "" && frame.Foreign(s.buf, true) != "" {
			return s.foreign()
		}
		if err != nil && len(s.buf) < n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// tryHTTP2 asks a peer that did not answer a call whether it speaks HTTP/2.
func (s *Session) tryHTTP2(conn net.Conn) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	conn.SetDeadline(time.Now().Add(s.timeout))
	if _, err := io.WriteString(conn, preface); err != nil {
		return
	}
	b := make([]byte, 64)
	n, _ := io.ReadAtLeast(conn, b, 9)
	if name := frame.Foreign(b[:n], true); name != "" {
		s.Protocol, s.Name = Foreign, name
		s.Saw += fmt.Sprintf("; to HTTP/2 it said %.32q", b[:n])
	} else if n > 0 {
		s.Saw += fmt.Sprintf("; to HTTP/2 it said %.32q", b[:n])
	} else {
		s.Saw += "; to HTTP/2 it said nothing either"
	}
}

// Pings reports whether RoundTrip sends pings, and not calls.
func (s *Session) Pings() bool {
	return s.Settings != nil && s.Settings.Features&frame.FeaturePing != 0
}

// RoundTrip measures the time of a ping, or of a call of a method that the server does not
// have.
func (s *Session) RoundTrip() (time.Duration, error) {
	begin := time.Now()
	if !s.Pings() {
		err := s.call(false)
		return time.Since(begin), err
	}
	s.number++
	s.conn.SetDeadline(begin.Add(s.timeout))
	if err := s.send(0, frame.TypePing, 0, binary.BigEndian.AppendUint64(nil, s.number)); err != nil {
		return 0, err
	}
	for {
		h, body, err := s.frame()
		if err != nil {
			return 0, err
		}
		if number, ok := frame.ParsePing(body); ok && h.ID == 0 && h.Type == frame.TypePong && number >= s.number {
			return time.Since(begin), nil
		}
	}
}
