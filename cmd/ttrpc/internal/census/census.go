// Package census finds out which services a server has that tells nothing of itself.
package census

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/ttrpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

// noSuchMethod is a name that no proto file can have.
const noSuchMethod = "-"

// Services returns those of names that the server has, in their order: a server answers
// that it has no such method, or no such service. An error means that the server does not
// answer, or says nothing that tells them apart.
func Services(ctx context.Context, client ttrpc.Caller, names []string) ([]string, error) {
	// The answer for a service that nobody has.
	none, err := ask(ctx, client, "-")
	if err != nil {
		return nil, err
	}
	if !strings.Contains(strings.ToLower(none), "service") {
		return nil, fmt.Errorf("the server does not tell a missing service from a missing method: %q", none)
	}
	var found []string
	for _, name := range names {
		text, err := ask(ctx, client, name)
		if err != nil {
			return nil, err
		}
		if text != none {
			found = append(found, name)
		}
	}
	return found, nil
}

// ask returns the server's words for a missing method of a service, without its name.
func ask(ctx context.Context, client ttrpc.Caller, service string) (string, error) {
	err := client.Call(ctx, service, noSuchMethod, &emptypb.Empty{}, &emptypb.Empty{})
	st, ok := status.FromError(err)
	switch {
	case err == nil:
		return "", errors.New("the server has a method of every name")
	case !ok:
		return "", err
	case st.Code() != codes.Unimplemented && st.Code() != codes.NotFound:
		return "", fmt.Errorf("the server does not tell a missing method from others: %w", err)
	}
	return strings.ReplaceAll(st.Message(), service, ""), nil
}
