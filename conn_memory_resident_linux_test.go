package ttrpc

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
)

// hungryServer is the environment variable with the address that a child process of
// TestResidentMemory serves.
const hungryServer = "TTRPC_TEST_HUNGRY_SERVER"

// hungryCalls is the n of connectionCost in TestResidentMemory.
const hungryCalls = 4

// A process takes no more memory than the documentation says, with and without a memory
// limit for the runtime: doc.go, "Limits". The server has its own process. Hostile
// connections come one after another and leave garbage.
func TestResidentMemory(t *testing.T) {
	if addr := os.Getenv(hungryServer); addr != "" {
		serveHungry(t, addr)
		return
	}
	if raceEnabled {
		t.Skip("the race detector needs memory of its own")
	}
	if emulated() {
		t.Skip("the emulator has the process's memory, and its own")
	}
	const process = 15 << 20
	figure := connectionCost(hungryCalls)
	for env, most := range map[string]int64{
		"GOGC=100":                               2*figure + process,
		fmt.Sprintf("GOMEMLIMIT=%d", figure*5/4): figure*3/2 + process, // it is a soft limit
	} {
		addr := socketPath(t)
		child := startHungry(t, addr, env)
		for i := 0; i < 6; i++ {
			doWorst(t, addr)
			awaitEnd(t, addr) // two at once would have twice the figure
		}
		resident := peakResident(t, child.Process.Pid)
		t.Logf("%s: %d MiB of resident memory, %d MiB at most", env, resident>>20, most>>20)
		if resident > most {
			t.Errorf("%s: %d bytes of resident memory, want at most %d", env, resident, most)
		}
		if resident < figure*3/4 {
			t.Errorf("%s: only %d bytes of resident memory: is the worst done?", env, resident)
		}
	}
}

// serveHungry is the child process. It ends at the end of its standard input.
func serveHungry(t *testing.T, addr string) {
	big := &KeyValue{Value: strings.Repeat("b", defaultMaxMessageLength-100)}
	var floods atomic.Int64 // that run
	desc := echoMethods()
	desc.Methods["Floods"] = func(context.Context, func(any) error) (any, error) {
		return &KeyValue{Value: fmt.Sprint(floods.Load())}, nil
	}
	desc.Streams["Flood"] = Stream{StreamingClient: true, StreamingServer: true, Handler: func(ctx context.Context, ss StreamServer) (any, error) {
		floods.Add(1)
		defer floods.Add(-1)
		for {
			if err := ss.SendMsg(big); err != nil {
				return nil, err
			}
		}
	}}
	l, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, l, desc, WithServerMaxCalls(hungryCalls))
	fmt.Println("serving")
	io.Copy(io.Discard, os.Stdin)
}

// startHungry starts the child process and returns when it serves.
func startHungry(t *testing.T, addr, env string) *exec.Cmd {
	t.Helper()
	cmd := childTest(context.Background(), "TestResidentMemory")
	cmd.Env = append(os.Environ(), hungryServer+"="+addr, env)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the server: %v", err)
		}
	})
	if _, err := io.ReadFull(stdout, make([]byte, len("serving\n"))); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// doWorst makes a connection that costs the server as much as possible, and ends it.
func doWorst(t *testing.T, addr string) {
	t.Helper()
	w := dialWire(t, addr)
	defer w.Close()
	payload := make([]byte, defaultMaxMessageLength)
	begin := &Request{Service: testService, Method: "Flood"}
	for i := 0; i < defaultMaxMetadata/(5+metadataOverhead); i++ {
		begin.Metadata = append(begin.Metadata, &KeyValue{Key: fmt.Sprintf("%05x", i)})
	}
	for i := streamID(0); i < hungryCalls; i++ {
		w.write(header{id: 2*i + 1, typ: messageTypeRequest, flags: flagRemoteOpen | flagNoData}, mustMarshal(begin))
	}
	// Inboxes that are not quite full, so that the longest message is let in, and one
	// that is the stream's last.
	for i := streamID(0); i < hungryCalls; i++ {
		for j := 0; j < 15; j++ {
			w.write(header{id: 2*i + 1, typ: messageTypeData}, payload[:256<<10])
		}
		w.write(header{id: 2*i + 1, typ: messageTypeData}, payload)
		w.write(header{id: 2*i + 1, typ: messageTypeData, flags: flagRemoteClosed}, payload)
	}
	const last = 101 // the answer to it says that all of that was read
	w.request(last, "Nonexistent", 0, nil)
	for w.read().id != last {
	}
}

// awaitEnd waits until no handler of an earlier connection runs.
func awaitEnd(t *testing.T, addr string) {
	t.Helper()
	c := dialTest(t, addr)
	defer c.Close()
	waitFor(t, "the end of the handlers", func() bool {
		var n KeyValue
		err := c.Call(testContext(t), testService, "Floods", &KeyValue{}, &n)
		return err == nil && n.Value == "0"
	})
}

// peakResident returns the largest resident memory of a process, in bytes.
func peakResident(t *testing.T, pid int) int64 {
	t.Helper()
	_, rest, _ := strings.Cut(readFile(t, fmt.Sprintf("/proc/%d/status", pid)), "VmHWM:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib << 10
}
