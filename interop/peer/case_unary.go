package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
)

func init() {
	cases["empty_unary"] = (*env).emptyUnary
	cases["large_unary"] = (*env).largeUnary
	cases["messages_reset"] = (*env).messagesReset
	cases["concurrent_large_unary"] = (*env).concurrentLargeUnary
	cases["concurrency_256"] = (*env).concurrency256
	cases["custom_metadata"] = (*env).customMetadata
	cases["status_code_and_message"] = (*env).statusCodeAndMessage
	cases["special_status_message"] = (*env).specialStatusMessage
	cases["status_details"] = (*env).statusDetails
	cases["plain_errors"] = (*env).plainErrors
	cases["unimplemented_method"] = (*env).unimplementedMethod
	cases["unimplemented_service"] = (*env).unimplementedService
}

func (e *env) emptyUnary() error {
	return e.call(context.Background(), "Empty", &emptyMsg{}, &emptyMsg{})
}

// exchange makes one Payload call and checks that the response is its own.
func (e *env) exchange(seq, requestSize, responseSize int) error {
	var resp bytesMsg
	req := payloadRequest(seq, requestSize, responseSize)
	if err := e.call(context.Background(), "Payload", req, &resp); err != nil {
		return err
	}
	return checkPattern(resp.Value, seq, responseSize)
}

// messagesReset decodes nothing into a message that holds something.
func (e *env) messagesReset() error {
	resp := bytesMsg{Value: []byte("left over")}
	req := payloadRequest(1, requestHeader, 0)
	if err := e.call(context.Background(), "Payload", req, &resp); err != nil {
		return err
	}
	return checkPattern(resp.Value, 1, 0)
}

func (e *env) largeUnary() error {
	// The sizes of gRPC's case of this name.
	return e.exchange(1, 271828, 314159)
}

// concurrently runs f for callers 0..n-1 at once; the first error wins.
func concurrently(n int, f func(caller int) error) error {
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func(caller int) {
			defer wg.Done()
			if err := f(caller); err != nil {
				errs <- fmt.Errorf("caller %d: %w", caller, err)
			}
		}(i)
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (e *env) concurrentLargeUnary() error {
	return concurrently(16, func(caller int) error {
		for i := 0; i < 3; i++ {
			if err := e.exchange(caller*3+i, 271828-caller, 314159+caller); err != nil {
				return err
			}
		}
		return nil
	})
}

func (e *env) concurrency256() error {
	return concurrently(256, func(caller int) error {
		for i := 0; i < 8; i++ {
			if err := e.exchange(caller*8+i, requestHeader+caller*i, 2048-caller*i); err != nil {
				return err
			}
		}
		return nil
	})
}

// contextOf asks which parts of the caller's context reached the handler.
func (e *env) contextOf(ctx context.Context) (callContext, error) {
	var resp bytesMsg
	var c callContext
	if err := e.call(ctx, "Context", &emptyMsg{}, &resp); err != nil {
		return c, err
	}
	return c, json.Unmarshal(resp.Value, &c)
}

var someMetadata = ttrpc.MD{
	"x-grpc-test-echo-initial": {"test_initial_metadata_value"},
	"several":                  {"one", "two", "", "two", "three"},
	"unicode":                  {"☺ 😈", "\t\r\n"},
	"long":                     {strings.Repeat("0123456789", 5000)},
}

func (e *env) customMetadata() error {
	got, err := e.contextOf(ttrpc.WithMetadata(context.Background(), someMetadata))
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(ttrpc.MD(got.Metadata), someMetadata) {
		return fmt.Errorf("the handler got %.300q", got.Metadata)
	}
	got, err = e.contextOf(context.Background())
	if err == nil && len(got.Metadata) > 0 {
		return fmt.Errorf("the next call, without metadata, got %.300q", got.Metadata)
	}
	return err
}

func (e *env) fail(f failure) error {
	if err := f.check(e.call(context.Background(), "Fail", f.encode(), &emptyMsg{})); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) statusCodeAndMessage() error {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if err := e.fail(failure{Code: code, Message: "test status message"}); err != nil {
			return err
		}
	}
	return nil
}

// specialMessage is that of gRPC's case.
const specialMessage = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

func (e *env) specialStatusMessage() error {
	return e.fail(failure{Code: codes.Unknown, Message: specialMessage})
}

func (e *env) statusDetails() error {
	return e.fail(failure{
		Code:    codes.FailedPrecondition,
		Message: "with details",
		Details: []string{"first", "", "third ☺", strings.Repeat("long", 20000)},
	})
}

func (e *env) plainErrors() error {
	for name, want := range map[string]failure{
		"errors.New": {Code: codes.Unknown, Message: "some plain text"},
		"wrapped":    {Code: codes.Unknown, Message: "doing it: some plain text"},
		"io.EOF":     {Code: codes.OutOfRange, Message: "EOF"},
		"canceled":   {Code: codes.Canceled, Message: "context canceled"},
		"deadline":   {Code: codes.DeadlineExceeded, Message: "context deadline exceeded"},
		"not exist":  {Code: codes.NotFound, Message: "file does not exist"},
		"exist":      {Code: codes.AlreadyExists, Message: "file already exists"},
		"permission": {Code: codes.PermissionDenied, Message: "permission denied"},
	} {
		err := e.call(context.Background(), "FailPlain", &stringMsg{Value: name}, &emptyMsg{})
		if err := want.check(err); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return e.alive()
}

func (e *env) unimplementedMethod() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := e.Call(ctx, peerService, "Nothing", &emptyMsg{}, &emptyMsg{})
	if err := wantCode(err, codes.Unimplemented); err != nil {
		return err
	}
	return e.alive()
}

func (e *env) unimplementedService() error {
	err := e.Call(context.Background(), "ttrpc.interop.Nothing", "Empty", &emptyMsg{}, &emptyMsg{})
	if err := wantCode(err, codes.Unimplemented); err != nil {
		return err
	}
	return e.alive()
}
