// Package watch follows the connections of a proxy: it turns copies of their bytes into
// events about frames and calls, and marks violations of PROTOCOL.md.
package watch

import (
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/grpc/codes"
)

// A Kind is the kind of an Event.
type Kind string

const (
	KindOpen    Kind = "open"    // a connection begins
	KindFrame   Kind = "frame"   // a frame has passed
	KindEnd     Kind = "end"     // one direction of a connection ends, or all of it
	KindGap     Kind = "gap"     // bytes have passed that nobody has looked at
	KindUnknown Kind = "unknown" // bytes have passed that are no frames
	KindTrouble Kind = "trouble" // the proxy could not serve a client
	KindRunning Kind = "running" // a call has had no answer for long
)

// An Event is one thing that happened on a connection.
type Event struct {
	Kind Kind
	Time time.Time
	Conn int             // from 1; 0 for none
	Dir  proxy.Direction // of frames, and of an end if Sided
	Text string          // of an event without a frame

	Sided  bool // the event is about one direction
	Header frame.Header
	Call   *Call // of a frame, if it belongs to one
	Begins bool  // the frame begins the call
	Ends   bool  // the frame ends the call

	Timeout   time.Duration // of a request; 0 for none
	Metadata  []frame.Pair  // of a request, or of a metadata frame
	Extension string        // the contents of an extension's frame, or of an offer
	Payload   []byte        // JSON of the message, if its type is known and payloads are wanted
	Status    *Status       // of a response

	Violations []string // of PROTOCOL.md
	Notes      []string // of things that are allowed but deserve attention
}

// A Status is that of a response.
type Status struct {
	Code    codes.Code
	Message string
	Details int
}

// A Call is a call or a stream.
type Call struct {
	Conn            int
	Stream          uint32
	Number          int // of all calls, from 1
	Service, Method string
	Begin, End      time.Time // End is zero while the call runs
	Deadline        time.Duration
	Bytes           [2]int // of payloads of frames, by direction
	Messages        [2]int // data frames, by direction
	Code            codes.Code
	Cancelled       bool // the client has given up
	Drawn           bool // set by a timeline that has the beginning

	flags      uint8 // of the request
	clientDone bool  // the client has sent its last
	reported   bool  // as running for long
}

// Name returns the call's service and method.
func (c *Call) Name() string { return c.Service + "/" + c.Method }

// Duration returns the time from the request to the final frame.
func (c *Call) Duration() time.Duration { return c.End.Sub(c.Begin) }

// Unary reports whether the request began a unary call.
func (c *Call) Unary() bool { return c.flags&(frame.FlagRemoteClosed|frame.FlagRemoteOpen) == 0 }

func (e *Event) violation(text string) { e.Violations = append(e.Violations, text) }

func (e *Event) note(text string) { e.Notes = append(e.Notes, text) }
