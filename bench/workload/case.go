package workload

import "time"

// Kind is a way of loading a server.
type Kind string

// The kinds of cases.
const (
	Unary   Kind = "unary"  // Callers callers on Conns connections
	Streams Kind = "stream" // streams of Messages messages, one after another
	Dial    Kind = "dial"   // a connection of its own for each call, which is closed after it
	Bidi    Kind = "bidi"   // one message to and fro on one stream
	Busy    Kind = "busy"   // one caller beside one, on the last connection, whose handler is busy
	Cores   Kind = "cores"  // callers whose handlers all burn CPU
	Mixed   Kind = "mixed"  // callers of whose handlers one in SlowIn sleeps
	Behind  Kind = "behind" // a call right behind one whose handler sleeps
	Away    Kind = "away"   // a call right behind a stream's message whose handler sleeps

	// Memory is read in these.
	Idle        Kind = "idle"    // connections that had one call and wait
	HeldCalls   Kind = "calls"   // Callers calls on one connection that stay in their handlers
	HeldStreams Kind = "streams" // Callers streams on one connection that had one message to and fro and wait
)

// Case is the work of a client. The driver hands it to the client process.
type Case struct {
	Kind    Kind
	Size    int // bytes of payload, each way
	Callers int // callers, spread evenly over the connections
	Conns   int // connections
	Options Options

	Stream   StreamKind    // for Streams: its direction
	Messages int           // for Streams: messages in a stream
	Busy     Method        // for Busy: the work of the other caller's handler
	Work     time.Duration // for Busy, Cores, Mixed and Behind: how long a handler is busy
	SlowIn   int           // for Mixed
	Every    time.Duration // for Unary, if not 0: from one call's beginning to the next one's

	IdleStream bool // a stream is open beside the callers, on the first connection, and rests
	Unread     int  // streams each way whose messages nobody receives, on the first connection
	Hogs       int  // goroutines of the client that compute all the time

	Warmup  time.Duration // not measured
	Measure time.Duration
}

// Result is the output of a client, one line of JSON. Times are in nanoseconds
// and, like allocations, for one call, one message of a stream, or one round of
// a bidirectional one.
type Result struct {
	// Unsupported says why the peer cannot do the case; else it is empty.
	Unsupported string `json:",omitempty"`

	Calls        int     `json:",omitempty"`
	Time         float64 `json:",omitempty"` // wall clock divided by calls
	P50          float64 `json:",omitempty"`
	P99          float64 `json:",omitempty"`
	Max          float64 `json:",omitempty"`
	ClientCPU    float64 `json:",omitempty"`
	ServerCPU    float64 `json:",omitempty"`
	ClientAllocs float64 `json:",omitempty"`
	ServerAllocs float64 `json:",omitempty"`
	ClientBytes  float64 `json:",omitempty"` // allocated
	ServerBytes  float64 `json:",omitempty"`

	// CoresUsed is the share of all cores that did the handlers' work, for Cores.
	CoresUsed float64 `json:",omitempty"`

	Idle []IdlePoint `json:",omitempty"`

	// Bytes is the size or the memory of a program, which the driver measures.
	Bytes int64 `json:",omitempty"`
}

// Held returns how many connections, calls or streams a case of memory has, 0 for
// the others.
func (c Case) Held() int {
	switch c.Kind {
	case Idle:
		return c.Conns
	case HeldCalls, HeldStreams:
		return c.Callers
	}
	return 0
}

// IdlePoint is the memory of both processes with so many idle connections, or
// calls or streams that are held. The first one of a result has a single one,
// which all differences are taken from.
type IdlePoint struct {
	Conns            int // or calls, or streams
	ServerRSS        int64
	ClientRSS        int64
	ServerGoroutines int
	ClientGoroutines int
}
