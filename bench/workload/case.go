package workload

import "time"

// Kind is a way of loading a server.
type Kind string

// The kinds of cases.
const (
	Unary   Kind = "unary"  // Callers callers on Conns connections
	Streams Kind = "stream" // streams of Messages messages, one after another
	Bidi    Kind = "bidi"   // one message to and fro on one stream
	Busy    Kind = "busy"   // one caller beside one, on the last connection, whose handler is busy
	Cores   Kind = "cores"  // callers whose handlers all burn CPU
	Idle    Kind = "idle"   // connections that had one call and wait
)

// Case says what a client does. The driver hands it to the client process.
type Case struct {
	Kind    Kind
	Size    int // bytes of payload, each way
	Callers int // callers, spread evenly over the connections
	Conns   int // connections
	Options Options

	Stream   StreamKind    // for Streams: its direction
	Messages int           // for Streams: messages in a stream
	Busy     Method        // for Busy: what the other caller's handler does
	Work     time.Duration // for Busy and Cores: how long a handler is busy

	Warmup  time.Duration // not measured
	Measure time.Duration
}

// Result is what a client prints, as one line of JSON. Times are in nanoseconds
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

// IdlePoint is the memory of both processes with so many idle connections. The
// first one of a result has a single connection, which all differences are
// taken from.
type IdlePoint struct {
	Conns            int
	ServerRSS        int64
	ClientRSS        int64
	ServerGoroutines int
	ClientGoroutines int
}
