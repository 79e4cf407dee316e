// Command victim is the program that the attackers of the parent directory's driver
// meet: a server or a client with the defaults of the ttrpc that it is built with, this
// checkout's or a release's. The driver asks on standard input for figures that the
// kernel does not have, and reads them on standard output; the log is standard error.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"time"
)

const usage = `usage:
  victim serve [safe] SOCKET      serve until standard input ends
  victim call EVIL HONEST         call both sockets until standard input ends
`

// A victim is a server or a client under attack.
type victim interface {
	// close ends the server or the client under attack.
	close()

	// observe adds the figures of this side.
	observe(*figures)
}

// figures are the report of a victim on itself: a line of JSON.
type figures struct {
	Heap       uint64        // bytes that are live after a collection
	Goroutines int           //
	Calls      int           // of a client to an honest server
	P99        time.Duration // of those
	Overrun    time.Duration // by which a call to the evil server was longest past its deadline
	Close      time.Duration // how long close took
}

func main() {
	v, err := start(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "victim:", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var f figures
		switch in.Text() {
		case "figures":
			v.observe(&f)
			runtime.GC()
			runtime.GC() // the first one moves the contents of pools, the second frees them
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			f.Heap = m.HeapAlloc
		case "close":
			begin := time.Now()
			v.close()
			f.Close = time.Since(begin)
		}
		f.Goroutines = runtime.NumGoroutine()
		line, err := json.Marshal(f)
		if err != nil {
			panic(err)
		}
		fmt.Printf("%s\n", line)
	}
}

func start(args []string) (victim, error) {
	switch {
	case len(args) == 2 && args[0] == "serve":
		return serve(args[1], nil)
	case len(args) == 3 && args[0] == "serve" && args[1] == "safe":
		return serve(args[2], safeOptions())
	case len(args) == 3 && args[0] == "call":
		return call(args[1], args[2]), nil
	}
	fmt.Fprint(os.Stderr, usage)
	os.Exit(2)
	return nil, nil
}
