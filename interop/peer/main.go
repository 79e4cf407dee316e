// Command peer is one end of the interop matrix. The driver in the parent
// directory builds it once against each released ttrpc and twice against this
// checkout, and pairs the programs over unix sockets, or TCP where an end is of
// Windows.
//
// Build tags choose the features of a build, in which the releases differ:
// "gogo" takes gogo's messages instead of protobuf-go's, "streams" adds the
// cases and handlers that need RegisterService and NewStream.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"sort"
	"strconv"
	"syscall"
)

const usage = `usage:
  peer serve SOCKET                  serve until standard input ends; SOCKET is a path, or
                                     127.0.0.1:PORT, of which 0 is any
  peer client SOCKET SERVER-PROGRAM LEAKS
                                     run the cases named on standard input; call
                                     it a leak when so many rounds in a row do
  peer hold SOCKET unary|stream N    keep N calls open until standard input ends
  peer cases                         list the cases of this build
`

func main() {
	go dumpOnQuit()
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1])
	case len(args) == 4 && args[0] == "client":
		leaks, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return runClient(env{socket: args[1], serverProgram: args[2], leaks: leaks})
	case len(args) == 4 && args[0] == "hold":
		n, err := strconv.Atoi(args[3])
		if err != nil {
			return err
		}
		return hold(args[1], args[2], n)
	case len(args) == 1 && args[0] == "cases":
		for _, name := range caseNames() {
			fmt.Println(name)
		}
		return nil
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil
}

// dumpOnQuit prints the goroutines when the driver asks, before it kills a peer
// that hangs: grouped, which is easier to read than the runtime's own dump. The
// process goes on, so that the other end's dump shows it as it was.
func dumpOnQuit() {
	quit := make(chan os.Signal, 1)
	signal.Notify(quit, syscall.SIGQUIT)
	for range quit {
		fmt.Fprintln(os.Stderr, "goroutines:")
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		fmt.Println("dumped")
	}
}

func caseNames() []string {
	var names []string
	for name := range cases {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// runClient answers each case named on standard input with a line on standard
// output: "ok", or "fail" and the quoted reason. The driver limits the time.
func runClient(e env) error {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		err := runCase(in.Text(), e)
		if err != nil {
			fmt.Println("fail", strconv.Quote(err.Error()))
		} else {
			fmt.Println("ok")
		}
	}
	return in.Err()
}

// untilParentEnds blocks until standard input ends, which it does however the
// parent goes, so that no peer outlives the driver.
func untilParentEnds() {
	_, _ = io.Copy(io.Discard, os.Stdin)
}
