package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sort"
	"time"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/identify"
	"github.com/spf13/cobra"
)

// pingOptions are those of the verb ping.
type pingOptions struct {
	count    int
	interval time.Duration
	timeout  time.Duration
	output   string
}

func newPingCmd() *cobra.Command {
	o := &pingOptions{}
	cmd := &cobra.Command{
		Use:   "ping ADDRESS",
		Short: "Tell what answers at an address, and how fast",
		Long: `Ping connects to a server and tells what it is: the process behind the socket and its
user (on Linux), whether it speaks ttrpc, and with which extensions and limits, or an
older ttrpc, or gRPC or another protocol, or nothing, each with what was seen. Then it
measures round trips: by pings, which the reading of the connection answers, or where the
server has none by calls of a method that no server has. Handlers do not run.

The exit status is 1 when the server does not speak ttrpc or does not answer in time.`,
		Example: `  ttrpc ping /run/containerd/containerd.sock.ttrpc
  ttrpc ping -c 100 -i 10ms vsock://3:1024
  ttrpc ping -c 1 -timeout 500ms -o json @shim`,
		Args: cobra.ExactArgs(1),
	}
	fs := cmd.Flags()
	fs.IntVarP(&o.count, "count", "c", 5, "make `N` round trips")
	fs.DurationVarP(&o.interval, "interval", "i", 100*time.Millisecond, "begin one each `TIME`")
	fs.DurationVar(&o.timeout, "timeout", 3*time.Second, "wait `TIME` for an answer")
	fs.StringVarP(&o.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error { return o.run(cmd, args[0]) })
	return cmd
}

// pingReport is the output as JSON. Times are nanoseconds.
type pingReport struct {
	Address    string            `json:"address"`
	Connect    time.Duration     `json:"connect_ns"`
	Peer       *identify.Process `json:"peer,omitempty"`
	Protocol   identify.Protocol `json:"protocol"`
	Name       string            `json:"protocol_name,omitempty"`
	Saw        string            `json:"saw"`
	Extensions string            `json:"extensions,omitempty"`
	MaxMessage int               `json:"max_message,omitempty"`
	Window     uint32            `json:"window,omitempty"`
	By         string            `json:"round_trips_by,omitempty"` // ping or call
	RoundTrips []time.Duration   `json:"round_trips_ns,omitempty"`
	Lost       int               `json:"lost,omitempty"` // that had no answer in time
}

func (o *pingOptions) run(cmd *cobra.Command, addr string) error {
	if o.count < 0 || o.interval < 0 || o.timeout <= 0 || o.output != "text" && o.output != "json" {
		return usageErrorf("a count and an interval are not negative, a timeout is positive, and an output is text or json")
	}
	r := &pingReport{Address: addr}
	begin := time.Now()
	first := true
	s, conn, err := identify.Open(cmd.Context(), func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, o.timeout)
		defer cancel()
		conn, err := dial(ctx, addr)
		if err == nil && first {
			first, r.Connect = false, time.Since(begin)
		}
		return conn, err
	}, o.timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	p := &pinger{cmd: cmd, text: o.output == "text", report: r, session: s}
	p.describe(conn)
	err = p.roundTrips(cmd.Context(), o)
	if !p.text {
		if jsonErr := json.NewEncoder(cmd.OutOrStdout()).Encode(r); jsonErr != nil {
			return jsonErr
		}
	}
	return err
}

// A pinger fills a report, and prints its parts as they come if it is text.
type pinger struct {
	cmd     *cobra.Command
	text    bool
	report  *pingReport
	session *identify.Session
}

func (p *pinger) printf(format string, args ...any) {
	if p.text {
		fmt.Fprintf(p.cmd.OutOrStdout(), format+"\n", args...)
	}
}

// describe tells of the peer.
func (p *pinger) describe(conn net.Conn) {
	r, s := p.report, p.session
	p.printf("connected to %s in %v", r.Address, r.Connect.Round(time.Microsecond))
	var unknown string
	if r.Peer, unknown = identify.Peer(conn); r.Peer != nil {
		p.printf("process: %d %s, uid %d %s, gid %d", r.Peer.PID, r.Peer.Command, r.Peer.UID, r.Peer.User, r.Peer.GID)
	} else {
		p.printf("process: not known (%s)", unknown)
	}
	r.Protocol, r.Name, r.Saw = s.Protocol, s.Name, s.Saw
	protocol := string(s.Protocol)
	if s.Name != "" {
		protocol += ": " + s.Name
	}
	p.printf("protocol: %s", protocol)
	p.printf("saw: %s", s.Saw)
	if s.Settings == nil {
		return
	}
	r.Extensions, r.MaxMessage, r.Window = s.Settings.Features.String(), s.Settings.Limit(), s.Settings.Window
	p.printf("extensions: version %d, %s", s.Settings.Version, r.Extensions)
	p.printf("longest message: %d bytes", r.MaxMessage)
	if r.Window != 0 {
		p.printf("window of a stream: %d bytes", r.Window)
	}
}

// roundTrips measures. It fails when the peer does not speak ttrpc, or does not answer.
func (p *pinger) roundTrips(ctx context.Context, o *pingOptions) error {
	r := p.report
	switch p.session.Protocol {
	case identify.Plain, identify.Extended:
	default:
		if p.text {
			return fmt.Errorf("%s: %s", r.Address, verdict(p.session))
		}
		return &exitError{status: exitFailed}
	}
	if r.By = "call"; p.session.Pings() {
		r.By = "ping"
	}
	next := time.Now()
	for i := range o.count {
		if !sleep(ctx, time.Until(next)) {
			break
		}
		next = next.Add(o.interval)
		d, err := p.session.RoundTrip()
		if err != nil {
			r.Lost++
			return fmt.Errorf("%s %d of %s had no answer: %w", r.By, i+1, r.Address, err)
		}
		r.RoundTrips = append(r.RoundTrips, d)
		p.printf("%s %d: %v", r.By, i+1, d.Round(time.Microsecond))
	}
	if n := len(r.RoundTrips); n > 0 {
		sorted := append([]time.Duration(nil), r.RoundTrips...)
		sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
		round := func(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
		p.printf("round trips: %d, min %v, p50 %v, max %v", n, round(sorted[0]), round(sorted[n/2]), round(sorted[n-1]))
	}
	return nil
}

// verdict says in words that the peer does not speak ttrpc.
func verdict(s *identify.Session) string {
	switch s.Protocol {
	case identify.Silent:
		return "somebody listens and does not answer: the process hangs or is busy, or speaks another protocol"
	case identify.Closed:
		return "somebody listens and closes the connection: it refuses this user, or speaks another protocol"
	}
	if s.Name != "" {
		return "the server speaks " + s.Name + ", not ttrpc"
	}
	return "the server does not speak ttrpc"
}

// sleep waits, and reports false if ctx ends before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
