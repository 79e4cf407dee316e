// Package otel shows how to trace calls with github.com/containerd/otelttrpc. It is a
// module of its own, as that brings OpenTelemetry.
package otel

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/containerd/otelttrpc"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/ttrpctest"
)

// A call is one trace: the span of the server is a child of that of the client, whose
// interceptor sends it in the metadata.
func TestTrace(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	options := []otelttrpc.Option{
		otelttrpc.WithTracerProvider(provider),
		otelttrpc.WithPropagators(propagation.TraceContext{}),
	}
	server := ttrpctest.NewServer(t, ttrpc.WithChainUnaryServerInterceptor(otelttrpc.UnaryServerInterceptor(options...)))
	server.Register("example.Greeter", map[string]ttrpc.Method{
		"Greet": func(_ context.Context, unmarshal func(any) error) (any, error) {
			var req ttrpc.KeyValue
			if err := unmarshal(&req); err != nil {
				return nil, err
			}
			if req.Value == "" {
				return nil, errors.New("no name")
			}
			return &ttrpc.KeyValue{Value: fmt.Sprint("hello, ", req.Value)}, nil
		},
	})
	client := ttrpctest.NewClient(t, server, ttrpc.WithChainUnaryClientInterceptor(otelttrpc.UnaryClientInterceptor(options...)))

	var resp ttrpc.KeyValue
	if err := client.Call(context.Background(), "example.Greeter", "Greet", &ttrpc.KeyValue{Value: "world"}, &resp); err != nil || resp.Value != "hello, world" {
		t.Fatalf("got %q, %v", resp.Value, err)
	}
	ended := spans.Ended()
	if len(ended) != 2 {
		t.Fatalf("%d spans, want one on each side", len(ended))
	}
	atServer, atClient := ended[0], ended[1] // in the order of their ends
	if atServer.SpanContext().TraceID() != atClient.SpanContext().TraceID() ||
		atServer.Parent().SpanID() != atClient.SpanContext().SpanID() {
		t.Errorf("the server's span %v is not a child of the client's %v", atServer.Parent(), atClient.SpanContext())
	}
	for _, span := range ended {
		if span.Name() != "example.Greeter/Greet" {
			t.Errorf("a span is called %q", span.Name())
		}
	}
}
