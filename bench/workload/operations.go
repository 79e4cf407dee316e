package workload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// realDeadline is far enough never to come.
const realDeadline = 30 * time.Second

// operations returns one for each caller of the case, after it was done once and
// its result compared in full. In the measured part only lengths are compared.
func operations(c Case, conns []Conn, rounds int, dial func() (Conn, error)) ([]operation, error) {
	ops := make([]operation, c.Callers)
	if c.Kind == Dial {
		for i := range ops {
			ops[i] = dialOperation(c, dial)
		}
		return ops, nil
	}
	for i := range ops {
		var err error
		if ops[i], err = newOperation(c, conns[i%len(conns)], i, rounds); err != nil {
			return nil, err
		}
	}
	return ops, nil
}

func newOperation(c Case, conn Conn, caller, rounds int) (operation, error) {
	payload := makePayload(c.Size)
	switch c.Kind {
	case Unary, Busy:
		op, err := unaryOperation(c, conn, payload)
		if c.Every > 0 {
			op = op.pace(c.Every)
		}
		return op, err
	case Mixed:
		return mixedOperation(c, conn, caller)
	case Behind:
		return behindOperation(c, conn, payload)
	case Away:
		return awayOperation(c, conn, payload)
	case Cores:
		call := conn.Unary(Burn, EncodeCount(rounds*int(c.Work)/int(time.Millisecond)))
		return operation{units: 1, do: func(ctx context.Context) error {
			_, err := call(ctx)
			return err
		}}, nil
	case Bidi:
		return bidiOperation(conn, payload)
	case Streams:
		if c.Stream == ClientStream {
			return clientStreamOperation(c, conn, payload)
		}
		return serverStreamOperation(c, conn)
	}
	return operation{}, fmt.Errorf("unknown kind %q", c.Kind)
}

// dialOperation opens a connection, calls, and closes it.
func dialOperation(c Case, dial func() (Conn, error)) operation {
	payload := makePayload(c.Size)
	return operation{units: 1, do: func(ctx context.Context) error {
		conn, err := dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		got, err := conn.Unary(Echo, payload)(ctx)
		return checkLen(got, len(payload), err)
	}}
}

func unaryOperation(c Case, conn Conn, payload []byte) (operation, error) {
	call := conn.Unary(Echo, payload)
	if c.Options.Real {
		plain := call
		call = func(ctx context.Context) ([]byte, error) {
			ctx, cancel := context.WithTimeout(ctx, realDeadline)
			defer cancel()
			return plain(ctx)
		}
	}
	got, err := call(context.Background())
	if err != nil {
		return operation{}, err
	}
	if !bytes.Equal(got, payload) {
		return operation{}, errors.New("the response is not the request's payload")
	}
	return operation{units: 1, do: func(ctx context.Context) error {
		got, err := call(ctx)
		return checkLen(got, len(payload), err)
	}}, nil
}

func bidiOperation(conn Conn, payload []byte) (operation, error) {
	st, err := conn.Stream(context.Background(), BidiStream, payload)
	if err != nil {
		return operation{}, err
	}
	return operation{units: 1, do: func(context.Context) error { return streamRound(st, len(payload)) }}, nil
}

// streamRound sends a message of a bidirectional stream and awaits its reply.
func streamRound(st Stream, size int) error {
	if err := st.Send(); err != nil {
		return err
	}
	return streamReply(st, size)
}

func streamReply(st Stream, size int) error {
	got, err := st.Recv()
	return checkLen(got, size, err)
}

func serverStreamOperation(c Case, conn Conn) (operation, error) {
	request := StreamSpec{Messages: c.Messages, Size: c.Size}.Encode()
	do := func(ctx context.Context) error {
		st, err := conn.Stream(ctx, ServerStream, request)
		if err != nil {
			return err
		}
		for n := 0; ; n++ {
			got, err := st.Recv()
			if err == io.EOF && n == c.Messages {
				return nil
			}
			if err != nil {
				return fmt.Errorf("message %d of %d: %w", n, c.Messages, err)
			}
			if len(got) != c.Size {
				return fmt.Errorf("message %d has %d bytes, want %d", n, len(got), c.Size)
			}
		}
	}
	return operation{units: c.Messages, do: do}, do(context.Background())
}

func clientStreamOperation(c Case, conn Conn, payload []byte) (operation, error) {
	do := func(ctx context.Context) error {
		st, err := conn.Stream(ctx, ClientStream, payload)
		if err != nil {
			return err
		}
		for range c.Messages {
			if err := st.Send(); err != nil {
				return err
			}
		}
		if err := st.CloseSend(); err != nil {
			return err
		}
		got, err := st.Recv()
		if err != nil {
			return err
		}
		if n := DecodeCount(got); n != c.Messages {
			return fmt.Errorf("the server counted %d messages of %d", n, c.Messages)
		}
		return nil
	}
	return operation{units: c.Messages, do: do}, do(context.Background())
}

func checkLen(got []byte, want int, err error) error {
	if err == nil && len(got) != want {
		err = fmt.Errorf("got %d bytes, want %d", len(got), want)
	}
	return err
}

func makePayload(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i*7 + 1)
	}
	return p
}
