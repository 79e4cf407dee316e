package main

import "time"

// An attack is the work of one process against a victim, and the most that it may cost
// this checkout's library. The bounds are several times the measured figures, save where
// the library states one: they are to catch a cost that grows with the attack.
type attack struct {
	name   string
	does   string
	client bool // the victim is a client
	run    func(*attacker)
	bounds bounds

	// least is the shortest time of the attack, in a short run, too.
	least time.Duration
}

// keptTime is longer than a server keeps the request of a connection that has ended,
// for a handler that decodes it late.
const keptTime = 1500 * time.Millisecond

// bounds are the most that a victim may take; 0 stands for the bound of usual.
type bounds struct {
	rss         int // MiB, at most at any time
	heap        int // MiB that are live in the attack
	threads     int
	descriptors int
	log         int           // KiB a second
	p99         time.Duration // of an innocent caller
	close       time.Duration // of the server, or the client under attack
}

// usual holds for an attack that should cost next to nothing.
var usual = bounds{
	rss: 64, heap: 16, threads: 24, descriptors: 300, log: 32,
	p99: 400 * time.Millisecond, close: 1500 * time.Millisecond,
}

// or returns b with the bounds of other in place of zeros.
func (b bounds) or(other bounds) bounds {
	for _, f := range []struct{ to, from *int }{
		{&b.rss, &other.rss}, {&b.heap, &other.heap}, {&b.threads, &other.threads},
		{&b.descriptors, &other.descriptors}, {&b.log, &other.log},
	} {
		if *f.to == 0 {
			*f.to = *f.from
		}
	}
	if b.p99 == 0 {
		b.p99 = other.p99
	}
	if b.close == 0 {
		b.close = other.close
	}
	return b
}

var attacks = []*attack{
	{name: "descriptors", does: "passes sockets that linger when they are closed, 1 on each of 200 connections", run: passDescriptors},
	{name: "reconnect", does: "calls with 1 MiB, to handlers that go on for 6 s, from connections that it closes", run: reconnect("Nap"), bounds: bounds{heap: 32, rss: 200}, least: keptTime},
	{name: "reconnect-late", does: "the same, to handlers that decode their request at their end", run: reconnect("Late"), bounds: bounds{heap: 32, rss: 200}, least: keptTime},
	{name: "log-panic", does: "has a handler panic with the 64 KiB of its request", run: logFlood("Panic", 64<<10), bounds: bounds{log: 256}},
	{name: "log-regexp", does: "has a handler panic in regexp.MustCompile", run: logFlood("Regexp", 64<<10), bounds: bounds{log: 256}},
	{name: "log-protocol", does: "breaks the protocol on connections that it opens again", run: logProtocol, bounds: bounds{descriptors: 4200}},
	{name: "claims", does: "claims 4 MiB in a header, on 1,000 connections", run: claims, bounds: bounds{rss: 250, heap: 120, descriptors: 1100}},
	{name: "claims-begun", does: "sends 64 KiB of the 4 MiB that it claims, on 200 connections", run: claimsBegun, bounds: bounds{rss: 150, heap: 64}},
	{name: "unread-responses", does: "calls a method with responses of 1 MiB and reads nothing, on 20 connections", run: unreadResponses, bounds: bounds{rss: 2000, heap: 1000, p99: 2 * time.Second}},
	{name: "unread-refusals", does: "sends what is refused and reads nothing, on 20 connections", run: unreadRefusals},
	{name: "shut-read", does: "calls on connections whose reading side it has shut, 1,000 of them", run: shutRead, bounds: bounds{descriptors: 1300, rss: 100, heap: 32}},
	{name: "connections", does: "opens 4,000 connections and says nothing", run: connections, bounds: bounds{descriptors: 4100, rss: 100, heap: 48}},
	{name: "connect-close", does: "connects and closes", run: connectClose, bounds: bounds{descriptors: 4200}},
	{name: "slow-header", does: "sends the bytes of a header one by one, on 200 connections", run: slowHeader},
	{name: "half-frame", does: "sends half of 64 KiB, on 200 connections", run: halfFrames, bounds: bounds{heap: 32}},
	{name: "garbage", does: "sends random bytes", run: garbage},
	{name: "unknown-types", does: "sends frames of unknown types", run: unknownTypes},
	{name: "bad-ids", does: "sends requests with even ids and 0", run: badIDs},
	{name: "id-in-use", does: "uses the id of a call that runs", run: idInUse},
	{name: "calls", does: "begins 20,000 calls on a connection, to handlers that wait", run: callFlood, bounds: bounds{rss: 250, heap: 120}},
	{name: "streams", does: "opens 20,000 streams on a connection", run: streamFlood, bounds: bounds{rss: 250, heap: 120}},
	{name: "unread-stream", does: "sends on streams whose handler takes nothing, on 10 connections", run: unreadStream, bounds: bounds{rss: 200, heap: 80}},
	{name: "empty-messages", does: "the same with messages of no bytes", run: emptyMessages, bounds: bounds{rss: 200, heap: 80}},
	{name: "never-read", does: "reads nothing of a stream without an end, on 20 connections", run: neverRead, bounds: bounds{rss: 200, heap: 80}},
	{name: "oversized", does: "sends payloads over the limit", run: oversized},
	{name: "long-names", does: "calls methods with names of 4 MiB", run: longNames, bounds: bounds{rss: 150, heap: 32}},
	{name: "metadata", does: "sends 4 MiB of metadata in short pairs", run: metadata, bounds: bounds{rss: 150, heap: 32}},
	{name: "nesting", does: "sends messages nested as deep as 4 MiB go", run: nesting, bounds: bounds{rss: 150, heap: 32}},
	{name: "timeouts", does: "sends deadlines that are negative, huge and a moment away", run: timeouts, bounds: bounds{rss: 250, heap: 120}},
	{name: "close-midway", does: "closes in the middle of frames and of responses", run: closeMidway, bounds: bounds{descriptors: 4200}},

	{name: "client-details", client: true, does: "answers with 4 MiB of empty details", run: clientDetails, bounds: bounds{rss: 150, heap: 32}},
	{name: "client-descriptors", client: true, does: "passes sockets that linger when they are closed", run: clientDescriptors},
	{name: "client-garbage", client: true, does: "answers with random bytes", run: clientGarbage},
	{name: "client-claims", client: true, does: "claims 4 MiB and sends nothing", run: clientClaims},
	{name: "client-slow", client: true, does: "answers byte by byte", run: clientSlow},
	{name: "client-unknown-ids", client: true, does: "sends responses that no call waits for", run: clientUnknownIDs},
	{name: "client-wrong", client: true, does: "answers calls with data, even ids, requests and unknown types", run: clientWrong},
	{name: "client-oversized", client: true, does: "answers over the limit", run: clientOversized},
	{name: "client-stream", client: true, does: "sends more on streams than is taken", run: clientStream, bounds: bounds{rss: 200, heap: 80}},
	{name: "client-silent", client: true, does: "reads nothing and answers nothing", run: clientSilent},
	{name: "client-close", client: true, does: "closes in the middle of a response", run: clientClose},
}

func findAttack(name string) *attack {
	for _, a := range attacks {
		if a.name == name {
			return a
		}
	}
	return nil
}
