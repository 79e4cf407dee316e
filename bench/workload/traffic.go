package workload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// Operations of cases that are like real traffic: calls now and then, and
// handlers that are slow now and then.

// pace lets op begin once in a while, and not before it has ended.
func (op operation) pace(every time.Duration) operation {
	var next time.Time
	op.before = func(context.Context) error {
		if now := time.Now(); next.Before(now) {
			next = now // the last one took longer
		}
		napUntil(next)
		next = next.Add(every)
		return nil
	}
	return op
}

// mixedOperation is a call whose handler sleeps one time in c.SlowIn and returns
// at once else, by chance, but the same in each run.
func mixedOperation(c Case, conn Conn, caller int) (operation, error) {
	quick := conn.Unary(Block, EncodeCount(0))
	slow := conn.Unary(Block, EncodeCount(int(c.Work)))
	chance := rand.New(rand.NewPCG(1, uint64(caller)))
	do := func(ctx context.Context) error {
		call := quick
		if chance.IntN(c.SlowIn) == 0 {
			call = slow
		}
		_, err := call(ctx)
		return err
	}
	return operation{units: 1, do: do}, do(context.Background())
}

// followAfter is the time from the beginning of the sleeping handler to the measured
// call of Behind and Away.
const followAfter = 50 * time.Microsecond

// quickBefore calls of a Behind teach the server that the method is quick, before
// one sleeps.
const quickBefore = 30

// behindOperation is a call right behind one whose handler sleeps for c.Work.
func behindOperation(c Case, conn Conn, payload []byte) (operation, error) {
	op, err := unaryOperation(c, conn, payload)
	if err != nil {
		return operation{}, err
	}
	quick := conn.Unary(Block, EncodeCount(0))
	slow := conn.Unary(Block, EncodeCount(int(c.Work)))
	ended := make(chan error, 1) // sent to by each slow call's goroutine
	ended <- nil
	op.before = func(ctx context.Context) error {
		if err := <-ended; err != nil {
			return fmt.Errorf("sleeping call: %w", err)
		}
		for range quickBefore {
			if _, err := quick(ctx); err != nil {
				return err
			}
		}
		// A context of its own: the last one outlives its operation.
		go func() {
			_, err := slow(context.Background())
			ended <- err
		}()
		napUntil(time.Now().Add(followAfter))
		return nil
	}
	return op, nil
}

// The handler of an AwayStream sleeps for awayTime at every awayEvery-th message.
const (
	awayTime  = 5 * time.Millisecond
	awayEvery = 20
)

// HandleMessage does the work of a bidirectional stream's handler for message n,
// counted from 1, before it is returned.
func HandleMessage(kind StreamKind, n int) {
	if kind == AwayStream && n%awayEvery == 0 {
		time.Sleep(awayTime)
	}
}

// awayOperation is a call while the handler of a stream, which was quick for
// awayEvery-1 messages, is away.
func awayOperation(c Case, conn Conn, payload []byte) (operation, error) {
	op, err := unaryOperation(c, conn, payload)
	if err != nil {
		return operation{}, err
	}
	st, err := conn.Stream(context.Background(), AwayStream, payload)
	if err != nil {
		return operation{}, err
	}
	awaited := false // the message whose handler sleeps is under way
	op.before = func(context.Context) error {
		if awaited {
			if err := streamReply(st, c.Size); err != nil {
				return err
			}
		}
		for range awayEvery - 1 {
			if err := streamRound(st, c.Size); err != nil {
				return err
			}
		}
		if err := st.Send(); err != nil {
			return err
		}
		awaited = true
		napUntil(time.Now().Add(followAfter))
		return nil
	}
	return op, nil
}
