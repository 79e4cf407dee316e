package main

import (
	"slices"
	"strings"
)

// A defect is a case that releases are known to fail, in one role with any
// peer, or when both ends have it. It is not run with them; -try-cannot does,
// to see whether the entry is still true.
type defect struct {
	first, last string // releases, by name
	role        role
	cases       []string
	why         string
}

type role int

const (
	asClient role = iota
	asServer
	asBoth
)

// everyBuild lists the releases in the order of defects, and after them the others.
var everyBuild = append(releases[:len(releases):len(releases)], rusts...)

var defects = []defect{
	{
		first: "2019-06", last: "v1.0.2", role: asServer,
		cases: []string{"unimplemented_method", "unimplemented_service"},
		why:   "answers NotFound instead of Unimplemented",
	},
	{
		first: "2019-06", last: "v1.0.2", role: asBoth,
		cases: []string{"concurrent_large_unary", "concurrency_256", "soak"},
		why:   "deadlocks: at both ends one goroutine sends and, meanwhile, nobody receives",
	},
	{
		first: "2019-06", last: "v1.2.10", role: asClient,
		cases: []string{"expired_before_call"},
		why:   "the client sends the call all the same, and returns its response if that is ready first",
	},
	{
		first: "2019-06", last: "v1.1.2", role: asBoth,
		cases: []string{"limit_response_over"},
		why:   "the server sends the oversized response and the client crashes on it",
	},
	{
		first: "v1.2.0", last: "v1.2.5", role: asBoth,
		cases: []string{"limit_response_over"},
		why:   "the server sends the oversized response, and the client may take it for an empty one",
	},
	{
		first: "v1.1.0", last: "v1.1.2", role: asClient,
		cases: []string{"status_details"},
		why:   "the client crashes: gogo cannot decode the Any of the protobuf runtime it requires",
	},
	{
		first: "v1.2.0", last: "v1.2.2", role: asServer,
		cases: []string{"empty_stream_request"},
		why:   "hangs: the handler never gets a request of no bytes",
	},
	{
		first: "v1.2.0", last: "v1.2.1", role: asClient,
		cases: []string{"close_in_stream", "server_killed_in_stream"},
		why:   "RecvMsg may return nil, as for a message, when the connection ends",
	},
	{
		first: "v1.2.0", last: "v1.2.1", role: asClient,
		cases: []string{"soak", "soak_streams"},
		why:   "the client may crash: a response that comes as its call is given up is sent on a closed channel",
	},
	{
		first: "v1.2.0", last: "v1.2.8", role: asClient,
		cases: []string{"cancel_with_unread"},
		why:   "hangs: a stream with unread messages holds up the connection for good",
	},
	{
		first: "v1.2.0", last: "v1.2.10", role: asServer,
		cases: []string{"shutdown_in_call"},
		why:   "Shutdown may close the connection before the last response is written",
	},
	{
		first: "v1.2.6", last: "v1.2.10", role: asServer,
		cases: []string{"limit_response_over"},
		why:   "the server closes the connection, and with it all its calls",
	},
	{
		first: "rust-sync", last: "rust-async", role: asServer,
		cases: []string{"unimplemented_method", "unimplemented_service"},
		why:   "answers InvalidArgument instead of Unimplemented",
	},
	{
		first: "rust-sync", last: "rust-async", role: asServer,
		cases: []string{"plain_errors"},
		why:   "an error without a status has no kind: the server answers Unknown, with Rust's debug text",
	},
	{
		first: "rust-sync", last: "rust-sync", role: asServer,
		cases: []string{"close_in_call", "client_killed_in_call"},
		why:   "a handler in a thread is not told that its client has gone",
	},
	{
		first: "rust-async", last: "rust-async", role: asServer,
		cases: []string{"shutdown_in_call"},
		why:   "shutdown waits for the handlers, and not until their responses are written",
	},
	{
		first: "rust-sync", last: "rust-sync", role: asClient,
		cases: []string{"cancel_in_call"},
		why:   "a call in a thread ends by its timeout alone",
	},
	{
		first: "rust-async", last: "rust-async", role: asClient,
		cases: []string{"close_in_call", "server_killed_in_call"},
		why:   "a call hangs when its connection ends",
	},
	{
		first: "rust-async", last: "rust-async", role: asClient,
		cases: []string{"shutdown_in_call"},
		why:   "the client drops responses that the end of the connection follows at once",
	},
	{
		first: "rust-sync", last: "rust-async", role: asBoth,
		cases: []string{"limit_request_over", "limit_response_over"},
		why:   "either end sends longer messages than the other takes, which loses the connection",
	},
}

// whyNot says why a case is not run with a pairing, or "". It is structural
// when an end has no such thing, rather than failing at it.
func whyNot(c testCase, client, server *build) (why string, structural bool) {
	switch {
	case c.needs == needStreams && (client.rust || server.rust):
		return "ttrpc-rust has no streams before 0.6", true
	case c.needs == needStreams && !(client.streams && server.streams):
		return "no release before v1.2.0 has streams", true
	case c.needs == needGogo && !client.gogo:
		return "the client takes only protobuf-go messages", true
	case client.wine != "" && c.ownServer:
		return "a program under Wine starts none of Linux", true
	case server.wine != "" && strings.HasPrefix(c.name, "server_killed_"):
		return "Wine's own server keeps the sockets of a killed process open", true
	case c.needs == needOurs && !(client.ours() && server.ours()):
		return "no release passes a stream's metadata or deadline to its handler", true
	}
	for _, d := range defects {
		if d.applies(client, server, c.name) {
			return d.why, false
		}
	}
	return "", false
}

func (d defect) applies(client, server *build, name string) bool {
	if !slices.Contains(d.cases, name) {
		return false
	}
	switch d.role {
	case asClient:
		return d.in(client)
	case asServer:
		return d.in(server)
	default:
		return d.in(client) && d.in(server)
	}
}

// in tells whether the build is one of the releases.
func (d defect) in(b *build) bool {
	return !b.ours() && releaseIndex(d.first) <= releaseIndex(b.name) && releaseIndex(b.name) <= releaseIndex(d.last)
}

func releaseIndex(name string) int {
	for i, b := range everyBuild {
		if b.name == name {
			return i
		}
	}
	panic("BUG: no release " + name)
}
