package main

import "time"

// A need is a feature that a case asks of an end.
type need int

const (
	needNothing need = iota
	needStreams      // streams, on both ends
	needGogo         // a client that takes gogo messages
	needOurs         // this checkout on both ends
)

// A testCase is a row of the matrix. The peer has the code under its name.
type testCase struct {
	name  string
	needs need
	long  bool // a variant is not run with releases in it: each takes a while, and shows no more
	// ownServer says that the client starts a server.
	ownServer bool

	limit  time.Duration // after which the peers are killed; 0 means caseLimit
	checks string
}

// caseLimit is far more than any case takes, so that a busy machine does not
// fail it; a case that reaches it hangs.
const caseLimit = 20 * time.Second

// testCases is the matrix. The first 14 names, concurrent_large_unary
// and soak are gRPC's interop cases, fitted to ttrpc.
var testCases = []testCase{
	{name: "empty_unary", checks: "a call with empty messages succeeds"},
	{name: "large_unary", checks: "a request of 271828 and a response of 314159 bytes arrive byte for byte"},
	{name: "client_streaming", needs: needStreams, checks: "the server gets gRPC's four messages in order and answers once"},
	{name: "server_streaming", needs: needStreams, checks: "the client gets gRPC's four messages in order, then io.EOF"},
	{name: "ping_pong", needs: needStreams, checks: "four rounds of message and echo, then io.EOF after CloseSend"},
	{name: "empty_stream", needs: needStreams, checks: "a stream without messages ends with io.EOF"},
	{name: "custom_metadata", checks: "keys with several values, Unicode and 50 kB reach the handler, and not the next call's"},
	{name: "status_code_and_message", checks: "each of the 16 codes reaches the client with its message"},
	{name: "special_status_message", checks: "a message of whitespace and Unicode arrives unchanged"},
	{name: "unimplemented_method", checks: "an unknown method is answered with Unimplemented"},
	{name: "unimplemented_service", checks: "an unknown service is answered with Unimplemented"},
	{name: "cancel_after_begin", needs: needStreams, checks: "cancelling a client stream ends it with Canceled; the connection lives"},
	{name: "cancel_after_first_response", needs: needStreams, checks: "cancelling after a round ends the stream with Canceled; the connection lives"},
	{name: "timeout_on_sleeping_server", checks: "a call past its deadline ends in time with DeadlineExceeded; the connection lives"},
	{name: "concurrent_large_unary", checks: "16 callers with 300 kB both ways each get their own response"},

	{name: "messages_reset", checks: "a response of no bytes leaves nothing in a message that held something"},
	{name: "struct_tag_messages", needs: needGogo, checks: "plain structs with protobuf tags are encoded and decoded"},
	{name: "status_details", checks: "details reach the client in order, byte for byte"},
	{name: "plain_errors", checks: "errors without a status get the code of their kind, and their text"},
	{name: "timeout_reaches_handler", checks: "the handler's context has the caller's deadline, and none when the caller has none"},
	{name: "timeout_ends_handler", checks: "the handler's context ends at the deadline"},
	{name: "expired_before_call", checks: "a call whose deadline has passed ends with DeadlineExceeded"},
	{name: "cancel_in_call", checks: "cancelling a call in flight ends it with context.Canceled itself"},
	{name: "late_responses", checks: "responses to calls that were given up are dropped, and harm no other call"},
	{name: "concurrency_256", checks: "256 callers on one connection each get their own responses"},
	{name: "soak", long: true, checks: "for a second 16 callers make calls of random sizes, some cancelled or late; each gets its own response"},
	{name: "limit_request_at", checks: "a request of exactly 4 MiB with its envelope arrives"},
	{name: "limit_request_over", checks: "one byte more ends with ResourceExhausted; the connection lives"},
	{name: "limit_response_at", checks: "a response of exactly 4 MiB with its envelope arrives"},
	{name: "limit_response_over", checks: "one byte more ends with ResourceExhausted; the connection lives"},
	{name: "close_in_call", checks: "Client.Close ends calls in flight with ErrClosed itself, and their handlers; the server keeps nothing"},
	{name: "shutdown_in_call", ownServer: true, checks: "calls in flight get their responses from a server that shuts down and exits; then ErrClosed"},
	{name: "server_killed_in_call", ownServer: true, checks: "SIGKILL of the server ends calls in flight, and later ones, with ErrClosed itself"},
	{name: "client_killed_in_call", checks: "SIGKILL of the client ends its handlers; the server keeps no goroutine or descriptor"},

	{name: "status_code_and_message_stream", needs: needStreams, checks: "each code ends a stream whose client side is open, with message and details"},
	{name: "special_status_message_stream", needs: needStreams, checks: "a message of whitespace and Unicode ends a stream unchanged"},
	{name: "unimplemented_method_stream", needs: needStreams, checks: "a stream of an unknown method ends with Unimplemented"},
	{name: "unimplemented_service_stream", needs: needStreams, checks: "a stream of an unknown service ends with Unimplemented"},
	{name: "cancel_with_unread", needs: needStreams, checks: "a cancelled stream with unread messages gives them or Canceled, never an early io.EOF"},
	{name: "timeout_on_sleeping_server_stream", needs: needStreams, checks: "a stream past its deadline ends with DeadlineExceeded; the connection lives"},
	{name: "empty_stream_request", needs: needStreams, checks: "a server stream starts though its request encodes to no bytes"},
	{name: "nil_messages", needs: needStreams, checks: "nil, sent on either side, arrives as a message of no bytes"},
	{name: "half_close", needs: needStreams, checks: "a server that answers only after CloseSend is heard to the end"},
	{name: "client_stream_10000", long: true, needs: needStreams, checks: "10,000 messages to the server, all and in order"},
	{name: "server_stream_10000", long: true, needs: needStreams, checks: "10,000 messages to the client, all and in order"},
	{name: "ping_pong_10000", long: true, needs: needStreams, checks: "10,000 rounds on one stream"},
	{name: "full_duplex_10000", long: true, needs: needStreams, checks: "10,000 messages each way at once, all and in order"},
	{name: "concurrent_streams", needs: needStreams, checks: "48 streams of all kinds beside 16 unary callers on one connection"},
	{name: "soak_streams", long: true, needs: needStreams, checks: "the same beside streams of all kinds, some left by a cancel"},
	{name: "stream_limit_at", needs: needStreams, checks: "a data frame of exactly 4 MiB, each way"},
	{name: "close_in_stream", needs: needStreams, checks: "Client.Close ends streams with ErrClosed itself, and their handlers; the server keeps nothing"},
	{name: "server_killed_in_stream", ownServer: true, needs: needStreams, checks: "SIGKILL of the server ends streams, and later ones, with ErrClosed itself"},
	{name: "client_killed_in_stream", needs: needStreams, checks: "SIGKILL of the client ends its handlers; the server keeps no goroutine or descriptor"},

	{name: "stream_metadata", needs: needOurs, checks: "metadata reaches a stream's handler"},
	{name: "stream_deadline", needs: needOurs, checks: "a stream's handler has the caller's deadline"},
}
