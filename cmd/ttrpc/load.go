package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/load"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/schema"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// loadOptions are those of the verb load.
type loadOptions struct {
	plan    load.Plan
	conns   int
	timeout time.Duration
	headers []string
	output  string
	svg     string
	types   schema.Flags
}

func newLoadCmd() *cobra.Command {
	o := &loadOptions{}
	cmd := &cobra.Command{
		Use:   "load ADDRESS SERVICE/METHOD [JSON|@FILE|-]",
		Short: "Call a method again and again, and measure",
		Long: `Load calls a unary method from many callers at once, and prints calls per second, the
distribution of their latency, and the errors by code. The request is encoded once, and
answers are not looked into. Types come from where those of "ttrpc call" do.

Without -rate each caller makes its next call when the last one has returned: a server
that stops for a while is then asked less often, and its stop shows in few calls. With
-rate calls are due at fixed times, and latency counts from when a call was due, also when
no caller was free for it.

A caller whose connection ends stops. The exit status is 1 when calls failed.`,
		Example: `  ttrpc load /run/inventory.sock inventory.Inventory/GetItem '{"id": "7"}'
  ttrpc load -c 8 -d 1m -rate 500 -svg latency.svg /run/containerd/s/0123abc containerd.task.v2.Task/Pids '{"id": "c1"}'
  ttrpc load -c 1 -n 1000 -o json tcp://localhost:7000 inventory.Inventory/GetItem @item.json`,
		Args:              cobra.RangeArgs(2, 3),
		ValidArgsFunction: completeMethod,
	}
	fs := cmd.Flags()
	fs.IntVarP(&o.plan.Callers, "callers", "c", 64, "make calls from `N` callers")
	fs.IntVar(&o.conns, "conns", 1, "spread the callers over `N` connections")
	fs.DurationVarP(&o.plan.For, "duration", "d", 10*time.Second, "begin calls for `TIME`")
	fs.IntVarP(&o.plan.Calls, "calls", "n", 0, "make `N` calls, and no more (default: without a limit)")
	fs.Float64Var(&o.plan.Rate, "rate", 0, "begin `N` calls a second, of all callers (default: as many as they can)")
	fs.DurationVar(&o.timeout, "timeout", 0, "give up each call after `TIME`, and send it as the deadline")
	fs.StringArrayVarP(&o.headers, "header", "H", nil, "send metadata, `KEY:VALUE`")
	fs.StringVarP(&o.output, "output", "o", "text", "`FORMAT` of the output: text or json")
	fs.StringVar(&o.svg, "svg", "", "draw latencies to a `FILE`")
	o.types.Add(fs)
	cmd.RunE = verb(func(cmd *cobra.Command, args []string) error { return o.run(cmd, args) })
	return cmd
}

func (o *loadOptions) check() error {
	switch {
	case o.plan.Callers < 1 || o.conns < 1:
		return usageErrorf("-c and -conns need one at least")
	case o.plan.For < 0 || o.plan.Calls < 0 || o.timeout < 0 || !(o.plan.Rate >= 0):
		return usageErrorf("-d, -n, -rate and -timeout must not be negative")
	case o.output != "text" && o.output != "json":
		return usageErrorf("-o: text or json is needed")
	}
	return nil
}

func (o *loadOptions) run(cmd *cobra.Command, args []string) error {
	if err := o.check(); err != nil {
		return err
	}
	ctx, err := withHeaders(cmd.Context(), o.headers)
	if err != nil {
		return err
	}
	clients, err := o.connect(cmd.Context(), args[0])
	if err != nil {
		return err
	}
	for _, c := range clients {
		defer c.Close()
	}
	req, service, method, err := o.request(cmd, clients[0], args[1:])
	if err != nil {
		return err
	}
	o.plan.Call = func(ctx context.Context, worker int) error {
		if o.timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.timeout)
			defer cancel()
		}
		return clients[worker%len(clients)].Call(ctx, service, method, req, &emptypb.Empty{})
	}
	run := load.Start(o.plan)
	stop := progress(cmd.ErrOrStderr(), run)
	res := run.Wait(ctx)
	stop()
	return o.report(cmd.OutOrStdout(), res, service+"/"+method)
}

// connect opens the connections.
func (o *loadOptions) connect(ctx context.Context, addr string) (clients []*ttrpc.Client, err error) {
	for range min(o.conns, o.plan.Callers) {
		conn, err := dial(ctx, addr)
		if err != nil {
			for _, c := range clients {
				c.Close()
			}
			return nil, err
		}
		clients = append(clients, ttrpc.NewClient(conn))
	}
	return clients, nil
}

// request returns the request, encoded, and the names of the method.
func (o *loadOptions) request(cmd *cobra.Command, client *ttrpc.Client, args []string) (req proto.Message, service, method string, err error) {
	if service, method, err = splitMethod(args[0]); err != nil {
		return nil, "", "", err
	}
	source, err := o.types.Open(cmd.Context(), client)
	if err != nil {
		return nil, "", "", badInput(err)
	}
	c := &call{ctx: cmd.Context(), client: client}
	if c.method, err = source.Method(cmd.Context(), service, method); err != nil {
		return nil, "", "", c.explainUnknown(err)
	}
	if c.method.IsStreamingClient() || c.method.IsStreamingServer() {
		return nil, "", "", badInput(fmt.Errorf("%s/%s has streams; load makes calls that have none", service, method))
	}
	if len(args) == 2 {
		in, done, err := openRequest(args[1], cmd.InOrStdin())
		if err != nil {
			return nil, "", "", err
		}
		defer done()
		c.in = in
	}
	c.codec = message.Codec{Format: "json", Types: source.Types(cmd.Context())}
	decoded, err := c.readRequest()
	if err != nil {
		return nil, "", "", err
	}
	b, err := proto.Marshal(decoded)
	if err != nil {
		return nil, "", "", badInput(err)
	}
	return encoded(b), service, method, nil
}

// encoded returns a message that is encoded as b: all of its fields are unknown.
func encoded(b []byte) proto.Message {
	m := dynamicpb.NewMessage((&emptypb.Empty{}).ProtoReflect().Descriptor())
	m.SetUnknown(b)
	return m
}

// progress prints a line about the run each second, over the last one, if w is a terminal.
// stop takes the line away.
func progress(w io.Writer, run *load.Run) (stop func()) {
	f, ok := w.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{}) // closed by stop, by the goroutine
	go func() {
		defer close(ended)
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		var before int64
		for {
			select {
			case <-ticker.C:
				elapsed, calls, failed := run.Progress()
				fmt.Fprintf(w, "\r\x1b[K%v: %d calls, %d/s, %d failed", elapsed.Round(time.Second), calls, calls-before, failed)
				before = calls
			case <-done:
				fmt.Fprint(w, "\r\x1b[K")
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// quantiles are those that are printed, in percent.
var quantiles = []float64{50, 90, 99, 99.9}

// report prints the result. It fails when calls failed.
func (o *loadOptions) report(w io.Writer, res *load.Result, name string) error {
	if o.svg != "" {
		f, err := os.Create(o.svg)
		if err != nil {
			return err
		}
		if err := load.WriteSVG(f, res.Latency, fmt.Sprintf("%s, %d callers", name, o.plan.Callers)); err != nil {
			f.Close()
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	write := writeLoadText
	if o.output == "json" {
		write = writeLoadJSON
	}
	if err := write(w, res); err != nil {
		return err
	}
	if res.Failed() > 0 {
		return fmt.Errorf("%d of %d calls failed", res.Failed(), res.Calls())
	}
	return nil
}

func perSecond(res *load.Result) float64 {
	return float64(res.Calls()) / max(res.Elapsed.Seconds(), 1e-9)
}

func errorCodes(res *load.Result) (all []codes.Code) {
	for code := range res.Errors {
		all = append(all, code)
	}
	sort.Slice(all, func(i, j int) bool { return res.Errors[all[i]] > res.Errors[all[j]] })
	return all
}

func writeLoadText(w io.Writer, res *load.Result) error {
	fmt.Fprintf(w, "calls: %d in %v, %.0f/s\n", res.Calls(), load.Round(res.Elapsed), perSecond(res))
	fmt.Fprintf(w, "latency: mean %v", load.Round(time.Duration(res.Latency.Mean())))
	for _, q := range quantiles {
		fmt.Fprintf(w, ", p%v %v", q, load.Round(time.Duration(res.Latency.ValueAtQuantile(q))))
	}
	fmt.Fprintf(w, ", max %v\n", load.Round(time.Duration(res.Latency.Max())))
	if res.Late > time.Millisecond {
		fmt.Fprintf(w, "the rate was not reached: the last call began %v late\n", load.Round(res.Late))
	}
	if err := load.WriteText(w, res.Latency); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, code := range errorCodes(res) {
		fmt.Fprintf(tw, "%v\t%d\t%q\n", code, res.Errors[code], res.First[code])
	}
	return tw.Flush()
}

func writeLoadJSON(w io.Writer, res *load.Result) error {
	latency := map[string]int64{"min": res.Latency.Min(), "max": res.Latency.Max(), "mean": int64(res.Latency.Mean())}
	for _, q := range quantiles {
		latency[fmt.Sprintf("p%v", q)] = res.Latency.ValueAtQuantile(q)
	}
	failed := map[string]int{}
	for code, n := range res.Errors {
		failed[code.String()] = n
	}
	type bar struct {
		From  int64 `json:"from_ns"`
		To    int64 `json:"to_ns"`
		Count int   `json:"count"`
	}
	histogram := []bar{}
	for _, b := range load.Bars(res.Latency, 12) {
		histogram = append(histogram, bar{b.From.Nanoseconds(), b.To.Nanoseconds(), b.Count})
	}
	return json.NewEncoder(w).Encode(map[string]any{
		"calls": res.Calls(), "elapsed_ns": res.Elapsed.Nanoseconds(), "calls_per_second": perSecond(res),
		"latency_ns": latency, "errors": failed, "late_ns": res.Late.Nanoseconds(), "histogram": histogram,
	})
}
