package workload

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
)

// A server prints Ready as a line when it listens, or ServerCannot and a reason.
const (
	Ready        = "ready"
	ServerCannot = "cannot: "
)

// Main is the main function of a peer's program, which runs as
//
//	peer server -addr PATH -options JSON [-profile FILE]
//	peer client -addr PATH -case JSON [-profile FILE]
//
// The client prints its Result as a line of JSON. The server runs until its
// standard input ends, so that it never outlives the driver.
func Main(p Peer) {
	if err := run(p, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(p Peer, args []string) error {
	if len(args) == 0 {
		return errors.New("usage: server|client -addr PATH …")
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	fs := flag.NewFlagSet(args[0], flag.ExitOnError)
	addr := fs.String("addr", "", "address of the calls")
	prof := fs.String("profile", "", "write a CPU profile of the measured part")
	switch args[0] {
	case "server":
		what := fs.String("options", "", "the case's Options, in JSON")
		fs.Parse(args[1:])
		var o Options
		if err := json.Unmarshal([]byte(*what), &o); err != nil {
			return fmt.Errorf("-options: %w", err)
		}
		o.setProcs()
		err := serve(p, *addr, o, &profile{path: *prof})
		var unsupported *UnsupportedError
		if errors.As(err, &unsupported) {
			fmt.Println(ServerCannot + unsupported.Reason)
		}
		return err
	case "client":
		what := fs.String("case", "", "the Case, in JSON")
		fs.Parse(args[1:])
		var c Case
		if err := json.Unmarshal([]byte(*what), &c); err != nil {
			return fmt.Errorf("-case: %w", err)
		}
		c.Options.setProcs()
		res, err := RunCase(p, *addr, c, &profile{path: *prof})
		var unsupported *UnsupportedError
		if errors.As(err, &unsupported) {
			res, err = Result{Unsupported: unsupported.Reason}, nil
		}
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(res)
	}
	return fmt.Errorf("unknown command %q", args[0])
}

func (o Options) setProcs() {
	if o.Procs > 0 {
		runtime.GOMAXPROCS(o.Procs)
	}
}

func serve(p Peer, addr string, o Options, prof *profile) error {
	calls, err := o.Connection.listen(addr)
	if err != nil {
		return err
	}
	side, err := net.Listen("unix", addr+ControlSuffix)
	if err != nil {
		return err
	}
	failed := make(chan error, 2)
	go func() { failed <- fmt.Errorf("serve: %w", p.Serve(calls, o)) }()
	go func() {
		for {
			conn, err := side.Accept()
			if err != nil {
				failed <- fmt.Errorf("side channel: %w", err)
				return
			}
			go serveControl(conn, prof)
		}
	}()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(Ready)
	return <-failed
}
