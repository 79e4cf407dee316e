package main

import (
	"encoding/json"
	"io"
	"net"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenAs is "listen silent|http2 SOCKET": somebody who does not speak ttrpc listens until
// the script ends.
func listenAs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: listen silent|http2 SOCKET")
	}
	l, err := net.Listen("unix", ts.MkAbs(args[1]))
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if args[0] == "http2" {
				io.WriteString(c, "\x00\x00\x00\x04\x00\x00\x00\x00\x00")
			}
			go func() {
				io.Copy(io.Discard, c)
				c.Close()
			}()
		}
	}()
}

// waitListen is "waitlisten SOCKET": it waits until somebody listens there.
func waitListen(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitlisten SOCKET")
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", ts.MkAbs(args[0]))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("nobody listens: %v", err)
		}
	}
}

// checkTimeline is "timeline FILE": each slice of the file has its beginning before its
// end, and none is left open.
func checkTimeline(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: timeline FILE")
	}
	var events []struct {
		Phase string   `json:"ph"`
		TS    *float64 `json:"ts"`
		PID   *int     `json:"pid"`
		ID    string   `json:"id"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &events))
	open := map[string]float64{}
	for i, e := range events {
		if e.TS == nil || e.PID == nil {
			ts.Fatalf("event %d has no time or process", i)
		}
		begin, isOpen := open[e.ID]
		switch {
		case e.Phase == "b" && !isOpen:
			open[e.ID] = *e.TS
		case e.Phase == "e" && isOpen && begin < *e.TS:
			delete(open, e.ID)
		case e.Phase == "b" || e.Phase == "e":
			ts.Fatalf("event %d is out of order", i)
		}
	}
	if len(open) > 0 {
		ts.Fatalf("%d slices have no end", len(open))
	}
}
