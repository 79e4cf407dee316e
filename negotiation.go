package ttrpc

import "sync/atomic"

// A negotiation is how far the two sides of a connection have agreed on extensions. A
// client offers in its first requests, a server that knows the offer answers with its
// settings, and the client acknowledges those; see PROTOCOL.md, section "Negotiation".
// Neither side waits for it, and without an answer everything goes on without
// extensions.
//
// A negotiation decides and remembers, and does nothing else: no I/O, no timers, no
// locks. conn.mu guards it, but for the state, which encoders look at.
// TestNegotiationWalk tries all orders of its methods.
type negotiation struct {
	state atomic.Uint32 // a negotiationState

	// As in the settings of the other side; 0 until it has sent them.
	peerMaxMessage, peerWindow uint32

	inUse uint8 // the features of both sides; 0 before the peer's settings are known

	// hasOffered is set when a request with an offer was queued (client).
	hasOffered bool
}

// negotiationState is the state of a negotiation.
type negotiationState uint32

const (
	// plain is a connection without extensions. A client stays there for good: its
	// server does not know them. A server leaves it with the first offer.
	plain negotiationState = iota

	// offering is a client that has no answer yet: its small requests carry the offer.
	offering

	// offered is a server that has sent its settings and has no acknowledgement yet. A
	// proxy may have passed the offer on, and know nothing of the settings.
	offered

	// extended is a side that knows of the other that it has the extensions in use.
	extended
)

func (ns negotiationState) String() string {
	switch ns {
	case plain:
		return "plain"
	case offering:
		return "offering"
	case offered:
		return "offered"
	}
	return "extended"
}

func (n *negotiation) is(s negotiationState) bool { return negotiationState(n.state.Load()) == s }

func (n *negotiation) set(s negotiationState) { n.state.Store(uint32(s)) }

// queued notes that a client has queued a request with the offer.
func (n *negotiation) queued() { n.hasOffered = true }

// answered is for a client that gets a frame on the stream of a request with the offer:
// a server that knows the offer has sent its settings before.
func (n *negotiation) answered() {
	if n.is(offering) {
		n.set(plain)
	}
}

// settled is for a client that gets the settings of the server. It reports whether the
// client must acknowledge them, before it sends anything else. A client that has not
// offered, or has given up on an answer, ignores them.
func (n *negotiation) settled(own, peer settings) (ack bool) {
	if !n.is(offering) || !n.hasOffered {
		return false
	}
	n.agree(own, peer)
	n.set(extended)
	return true
}

// offer is for a server that gets an offer. It reports whether the server must send its
// settings, before anything else that it has to say to the request. Later offers
// change nothing.
func (n *negotiation) offer(own, peer settings) (answer bool) {
	if !n.is(plain) {
		return false
	}
	n.agree(own, peer)
	n.set(offered)
	return true
}

// acknowledged is for a server that gets the acknowledgement. It reports whether that is
// the first one: the server relies on extensions from now on.
func (n *negotiation) acknowledged() (first bool) {
	if !n.is(offered) {
		return false
	}
	n.set(extended)
	return true
}

func (n *negotiation) agree(own, peer settings) {
	n.inUse = uint8(own.features & peer.features) // we have no others
	n.peerMaxMessage, n.peerWindow = peer.maxMessage, peer.window
}

// uses reports whether the connection relies on a feature.
func (n *negotiation) uses(f features) bool { return features(n.inUse).has(f) && n.is(extended) }

// maySend reports whether frames of a feature may be sent. A client sends them only to a
// server that has confirmed. A server sends those that do no harm to a client which
// ignores id 0 as soon as that has offered, for the sake of the first call.
func (n *negotiation) maySend(f features) bool {
	early := n.is(offered) && f&(featureMetadata|featureGoaway) == f
	return features(n.inUse).has(f) && (early || n.is(extended))
}
