package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain turns the error of a call into one for people, with the exit status.
func (c *call) explain(err error, timeout time.Duration) error {
	var exit *exitError
	var oversized *ttrpc.OversizedMessageErr
	switch {
	case err == nil, errors.As(err, &exit):
		return err
	case errors.As(err, &oversized):
		return fmt.Errorf("%s: %s (-max-message sets it)", oversized.GRPCStatus().Code(), oversized.GRPCStatus().Message())
	case errors.Is(err, ttrpc.ErrClosed):
		if cause := c.client.Err(); cause != nil {
			err = cause
		}
		return unreachable(fmt.Errorf("the connection ended before the answer: %w", err))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%v: no answer within %v", codes.DeadlineExceeded, timeout)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%v: interrupted", codes.Canceled)
	}
	if st, ok := status.FromError(err); ok {
		return c.explainStatus(st)
	}
	return err
}

// explainStatus has the code, the message, and a line for each detail.
func (c *call) explainStatus(st *status.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", st.Code(), st.Message())
	codec := c.codec
	codec.Format = "json"
	for _, detail := range st.Proto().GetDetails() {
		line, err := codec.Encode(detail, true)
		if err != nil {
			line = fmt.Appendf(nil, "(cannot be printed: %v)", err)
		}
		fmt.Fprintf(&b, "\n  detail: %s", line)
	}
	return errors.New(b.String())
}
