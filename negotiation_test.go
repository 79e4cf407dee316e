package ttrpc

import (
	"fmt"
	"strings"
	"testing"
)

// The two sides of TestNegotiationWalk have different features, of which they share
// two.
var (
	walkClientSettings = settings{version: 1, features: featureCancel | featureMetadata | featurePing, maxMessage: 5000, window: 100}
	walkServerSettings = settings{version: 1, features: featureCancel | featureMetadata | featureWindows, maxMessage: 6000, window: 200}
)

// walkPeer is the kind of the server in a walk, with the proxies between it and the client.
type walkPeer uint8

const (
	directServer   walkPeer = iota // one with extensions
	oldServer                      // one that skips the offer, and answers id 0
	keepingProxy                   // a new one behind a proxy that keeps fields and drops id 0
	droppingProxy                  // a new one behind a proxy that drops fields
	answeringProxy                 // a new one behind something that passes settings on and answers id 0
)

func (p walkPeer) String() string {
	return [...]string{"server with extensions", "old server", "proxy that keeps fields", "proxy that drops fields", "proxy that answers id 0"}[p]
}

// A walkFrame is in transit between the sides of a walk.
type walkFrame struct {
	kind  string // request, ack, cancel; settings, final, response on id 0
	call  int
	offer bool
}

// walkCall is a call of a walk, as both sides see it.
type walkCall struct {
	offer        bool
	waits        bool // in the client's table
	clientStrict bool
	serverSees   bool // in the server's table
	serverStrict bool
	gaveUp       bool
	answerRead   bool // the client read the final frame while the call was in its table
}

// A negotiationWalker makes the moves of a client and a server in any order that is
// possible on a connection, and checks the invariants after each move.
type negotiationWalker struct {
	peer           walkPeer
	client, server negotiation
	ended          bool // the client has ended the connection
	calls          []walkCall
	toServer       []walkFrame
	toClient       []walkFrame
	sent           map[string]bool // kinds of extension frames that a side has sent
}

const walkCalls = 3

func newNegotiationWalker(peer walkPeer) *negotiationWalker {
	w := &negotiationWalker{peer: peer, sent: map[string]bool{}}
	w.client.set(offering)
	return w
}

var negotiationMoves = []struct {
	name string
	move func(*negotiationWalker) bool
}{
	{"a small request", func(w *negotiationWalker) bool { return w.open(true) }},
	{"a big request", func(w *negotiationWalker) bool { return w.open(false) }},
	{"the client gives up on call 0", func(w *negotiationWalker) bool { return w.giveUp(0) }},
	{"the client gives up on call 1", func(w *negotiationWalker) bool { return w.giveUp(1) }},
	{"the server reads", (*negotiationWalker).serverReads},
	{"the server answers call 0", func(w *negotiationWalker) bool { return w.answer(0) }},
	{"the server answers call 1", func(w *negotiationWalker) bool { return w.answer(1) }},
	{"the server answers call 2", func(w *negotiationWalker) bool { return w.answer(2) }},
	{"the client reads", (*negotiationWalker).clientReads},
}

// open is Client.encodeRequest and Client.open.
func (w *negotiationWalker) open(small bool) bool {
	if len(w.calls) == walkCalls || w.ended {
		return false
	}
	offer := small && w.client.is(offering)
	if offer {
		w.client.queued()
	}
	w.toServer = append(w.toServer, walkFrame{kind: "request", call: len(w.calls), offer: offer})
	w.calls = append(w.calls, walkCall{offer: offer, waits: true, clientStrict: w.client.is(extended)})
	return true
}

func (w *negotiationWalker) giveUp(i int) bool {
	if i >= len(w.calls) || !w.calls[i].waits || w.ended {
		return false
	}
	w.calls[i].waits, w.calls[i].gaveUp = false, true
	if w.client.maySend(featureCancel) {
		w.toServer = append(w.toServer, walkFrame{kind: "cancel", call: i})
	}
	return true
}

// serverReads lets the server, or the proxy in front of it, read a frame.
func (w *negotiationWalker) serverReads() bool {
	if len(w.toServer) == 0 || w.ended {
		return false
	}
	f := w.toServer[0]
	w.toServer = w.toServer[1:]
	if f.kind == "request" {
		w.serverReadsRequest(f)
		return true
	}
	switch {
	case w.peer == keepingProxy, w.peer == droppingProxy:
	case w.peer == directServer && (f.kind == "ack" && !w.server.is(plain) || w.server.is(extended)):
		if f.kind == "ack" {
			w.server.acknowledged()
		}
	default: // as every frame on id 0
		w.toClient = append(w.toClient, walkFrame{kind: "response on id 0"})
	}
	return true
}

func (w *negotiationWalker) serverReadsRequest(f walkFrame) {
	if f.offer && w.peer != oldServer && w.peer != droppingProxy &&
		w.server.offer(walkServerSettings, walkClientSettings) {
		w.toClient = append(w.toClient, walkFrame{kind: "settings"})
	}
	call := &w.calls[f.call]
	call.serverSees, call.serverStrict = true, w.server.is(extended)
}

func (w *negotiationWalker) answer(i int) bool {
	if i >= len(w.calls) || !w.calls[i].serverSees || w.ended {
		return false
	}
	w.calls[i].serverSees = false
	for _, kind := range []string{"metadata", "window"} {
		if w.server.maySend(map[string]features{"metadata": featureMetadata, "window": featureWindows}[kind]) {
			w.sent[kind] = true
		}
	}
	w.toClient = append(w.toClient, walkFrame{kind: "final", call: i})
	return true
}

func (w *negotiationWalker) clientReads() bool {
	if len(w.toClient) == 0 || w.ended {
		return false
	}
	f := w.toClient[0]
	w.toClient = w.toClient[1:]
	switch f.kind {
	case "settings":
		if w.peer != keepingProxy && w.client.settled(walkClientSettings, walkServerSettings) {
			w.toServer = append(w.toServer, walkFrame{kind: "ack"})
		}
	case "response on id 0":
		w.ended = w.client.is(extended)
	case "final":
		call := &w.calls[f.call]
		if call.waits {
			call.waits, call.answerRead = false, true
			if call.offer {
				w.client.answered()
			}
		}
	}
	return true
}

// check returns an error that names the broken invariant.
func (w *negotiationWalker) check() error {
	client, server := negotiationState(w.client.state.Load()), negotiationState(w.server.state.Load())
	direct := w.peer == directServer
	for i, call := range w.calls {
		if direct && call.serverSees && call.clientStrict != call.serverStrict {
			return fmt.Errorf("call %d is strict to the client: %v, to the server: %v", i, call.clientStrict, call.serverStrict)
		}
	}
	for _, f := range w.toServer {
		if f.kind != "request" && client != extended {
			return fmt.Errorf("a client that is %v has sent %q", client, f.kind)
		}
		if f.kind != "request" && w.peer != directServer && w.peer != answeringProxy {
			return fmt.Errorf("%q goes to one that has not confirmed", f.kind)
		}
	}
	for _, f := range w.toClient {
		if f.kind == "response on id 0" && (direct || w.peer == keepingProxy) {
			return fmt.Errorf("a new server answers id 0")
		}
	}
	switch {
	case server == extended && client != extended:
		return fmt.Errorf("the server relies on a client that is %v", client)
	case direct && client == extended && server == plain:
		return fmt.Errorf("the client relies on a server that is plain")
	case w.sent["window"] && server != extended:
		return fmt.Errorf("windows are sent to a client that has not acknowledged")
	case !direct && server == extended:
		return fmt.Errorf("the server relies on a client behind a %v", w.peer)
	case !direct && w.peer != answeringProxy && client == extended:
		return fmt.Errorf("the client relies on a %v", w.peer)
	case client == extended && features(w.client.inUse) != featureCancel|featureMetadata,
		server != plain && features(w.server.inUse) != featureCancel|featureMetadata:
		return fmt.Errorf("in use are %v at the client and %v at the server", features(w.client.inUse), features(w.server.inUse))
	case client == extended && !w.client.knows(walkServerSettings), server != plain && !w.server.knows(walkClientSettings):
		return fmt.Errorf("the sides do not know each other's settings: %+v, %+v", &w.client, &w.server)
	}
	return nil
}

// knows reports whether n has the settings of the peer.
func (n *negotiation) knows(peer settings) bool {
	return n.peerMaxMessage == peer.maxMessage && n.peerWindow == peer.window
}

// rest makes the moves that happen by themselves until none is left, and then returns an
// error that names the broken invariant.
func (w *negotiationWalker) rest() error {
	for moved := true; moved; {
		moved = false
		for _, move := range []func() bool{
			w.serverReads, w.clientReads,
			func() bool { return w.answer(0) }, func() bool { return w.answer(1) }, func() bool { return w.answer(2) },
		} {
			for move() {
				moved = true
				if err := w.check(); err != nil {
					return err
				}
			}
		}
	}
	answered, offers := false, false
	for _, call := range w.calls {
		answered = answered || call.offer && call.answerRead
		offers = offers || call.offer
	}
	client, server := negotiationState(w.client.state.Load()), negotiationState(w.server.state.Load())
	switch {
	case w.ended:
		if w.peer != answeringProxy {
			return fmt.Errorf("the client has ended a connection to a %v", w.peer)
		}
	case w.peer == directServer && offers && (client != extended || server != extended):
		return fmt.Errorf("in the end the client is %v, and the server %v", client, server)
	case w.peer != directServer && w.peer != answeringProxy && answered && client != plain:
		return fmt.Errorf("a client that got an answer from a %v is %v", w.peer, client)
	case !offers && (client != offering || server != plain):
		return fmt.Errorf("without an offer the client is %v, and the server %v", client, server)
	}
	return nil
}

// state returns everything on which later moves depend.
func (w *negotiationWalker) state() string {
	return fmt.Sprint(w.client.state.Load(), w.client.hasOffered, w.server.state.Load(), w.ended, w.calls, w.toServer, w.toClient, w.sent)
}

func replayNegotiation(peer walkPeer, path []int) (w *negotiationWalker, possible bool, err error) {
	w = newNegotiationWalker(peer)
	for _, m := range path {
		if !negotiationMoves[m].move(w) {
			return w, false, nil
		}
		if err := w.check(); err != nil {
			return w, true, err
		}
	}
	return w, true, nil
}

// In every order of requests, answers and reads on both sides, a side relies on the other
// side only after that side has confirmed, and both sides agree on the streams for which
// they do. With a server that has extensions, both sides use them in the end, unless no
// request has an offer.
func TestNegotiationWalk(t *testing.T) {
	for peer := directServer; peer <= answeringProxy; peer++ {
		peer := peer
		t.Run(strings.ReplaceAll(peer.String(), " ", "-"), func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{newNegotiationWalker(peer).state(): true}
			for paths := [][]int{nil}; len(paths) > 0; {
				path := paths[0]
				paths = paths[1:]
				for m := range negotiationMoves {
					next := append(append([]int(nil), path...), m)
					w, possible, err := replayNegotiation(peer, next)
					if err == nil && (!possible || seen[w.state()]) {
						continue
					}
					if err == nil {
						seen[w.state()] = true
						paths = append(paths, next)
						err = w.rest()
					}
					if err != nil {
						var names []string
						for _, m := range next {
							names = append(names, negotiationMoves[m].name)
						}
						t.Fatalf("after %s: %v", strings.Join(names, ", "), err)
					}
				}
			}
			if len(seen) < 1000 {
				t.Errorf("the walk came to %d states, which is too few", len(seen))
			}
			t.Logf("%d states", len(seen))
		})
	}
}

// The test tries each event in each state. The zero value is a side without extensions: a
// client with the option off, or a server before an offer.
func TestNegotiation(t *testing.T) {
	type event struct {
		name string
		do   func(*negotiation) bool
	}
	own, peer := walkServerSettings, walkClientSettings
	answered := event{"answered", func(n *negotiation) bool { n.answered(); return false }}
	settled := event{"settings", func(n *negotiation) bool { return n.settled(own, peer) }}
	offer := event{"offer", func(n *negotiation) bool { return n.offer(own, peer) }}
	ack := event{"ack", (*negotiation).acknowledged}
	for _, test := range []struct {
		from       negotiationState
		hasOffered bool
		event      event
		want       bool
		to         negotiationState
	}{
		{offering, false, settled, false, offering}, // nobody asked
		{offering, true, settled, true, extended},
		{offering, true, answered, false, plain},
		{plain, true, settled, false, plain}, // too late
		{plain, true, answered, false, plain},
		{extended, true, settled, false, extended}, // a second time
		{extended, true, answered, false, extended},

		{plain, false, offer, true, offered},
		{plain, false, ack, false, plain}, // nobody asked
		{offered, false, offer, false, offered},
		{offered, false, ack, true, extended},
		{extended, false, offer, false, extended},
		{extended, false, ack, false, extended},
	} {
		n := &negotiation{hasOffered: test.hasOffered}
		n.set(test.from)
		got := test.event.do(n)
		if to := negotiationState(n.state.Load()); got != test.want || to != test.to {
			t.Errorf("%s at a side that is %v (has offered: %v): got %v and %v, want %v and %v",
				test.event.name, test.from, test.hasOffered, got, to, test.want, test.to)
		}
		if test.want && test.event.name != "ack" && (features(n.inUse) != featureCancel|featureMetadata || !n.knows(peer)) {
			t.Errorf("%s: in use are %v, with %+v", test.event.name, features(n.inUse), n)
		}
	}
}

func TestNegotiationMaySend(t *testing.T) {
	all := featureCancel | featureWindows | featurePing | featureMetadata | featureGoaway
	for state, want := range map[negotiationState]features{
		plain: 0, offering: 0, offered: featureMetadata | featureGoaway, extended: all,
	} {
		n := &negotiation{inUse: uint8(all)}
		n.set(state)
		for f := featureCancel; f <= featureChunks; f <<= 1 {
			if got := n.maySend(f); got != want.has(f) {
				t.Errorf("%v, %v: may be sent: %v", state, f, got)
			}
		}
	}
}
