package workload

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime/pprof"
)

// The side channel is a unix socket of its own beside the one of the calls. The
// client asks on it for the server's readings before and after the part that it times;
// in between the server's goroutine for it waits in a read.

// ControlSuffix is appended to the address of the calls.
const ControlSuffix = ".control"

type command string

const (
	begin     command = "begin"     // start the profile if there is one, return Usage
	end       command = "end"       // return Usage, stop the profile
	memory    command = "memory"    // collect garbage, return Memory
	calibrate command = "calibrate" // return RoundsPerMillisecond
	holding   command = "holding"   // return Held
)

type request struct {
	Command command
}

type reply struct {
	Error                string `json:",omitempty"`
	Usage                Usage
	Memory               Memory
	RoundsPerMillisecond int
	Held                 int // handlers that Hold keeps
}

// serveControl answers the side channel until it is closed by the other side.
func serveControl(conn net.Conn, p *profile) {
	defer conn.Close()
	dec, enc := json.NewDecoder(conn), json.NewEncoder(conn)
	for {
		var req request
		if dec.Decode(&req) != nil {
			return
		}
		var rep reply
		var err error
		switch req.Command {
		case begin:
			if err = p.start(); err == nil {
				rep.Usage, err = readUsage()
			}
		case end:
			if rep.Usage, err = readUsage(); err == nil {
				err = p.stop()
			}
		case memory:
			rep.Memory, err = readMemory()
		case calibrate:
			rep.RoundsPerMillisecond = roundsPerMillisecond()
		case holding:
			rep.Held = int(held.Load())
		default:
			err = fmt.Errorf("unknown command %q", req.Command)
		}
		if err != nil {
			rep.Error = err.Error()
		}
		if enc.Encode(rep) != nil {
			return
		}
	}
}

// control is the client's end of the side channel.
type control struct {
	conn net.Conn
	dec  *json.Decoder
	enc  *json.Encoder
}

func dialControl(addr string) (*control, error) {
	conn, err := net.Dial("unix", addr+ControlSuffix)
	if err != nil {
		return nil, fmt.Errorf("dial the side channel: %w", err)
	}
	return &control{conn: conn, dec: json.NewDecoder(conn), enc: json.NewEncoder(conn)}, nil
}

func (c *control) ask(cmd command) (reply, error) {
	var rep reply
	if err := c.enc.Encode(request{Command: cmd}); err != nil {
		return rep, fmt.Errorf("ask the server for %s: %w", cmd, err)
	}
	if err := c.dec.Decode(&rep); err != nil {
		return rep, fmt.Errorf("read the server's answer to %s: %w", cmd, err)
	}
	if rep.Error != "" {
		return rep, fmt.Errorf("server: %s: %s", cmd, rep.Error)
	}
	return rep, nil
}

// profile writes a CPU profile of the time between begin and end. With an
// empty path it does nothing.
type profile struct {
	path string
	file *os.File
}

func (p *profile) start() (err error) {
	if p.path == "" {
		return nil
	}
	if p.file, err = os.Create(p.path); err != nil {
		return err
	}
	return pprof.StartCPUProfile(p.file)
}

func (p *profile) stop() error {
	if p.path == "" {
		return nil
	}
	pprof.StopCPUProfile()
	return p.file.Close()
}
