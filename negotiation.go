package ttrpc

import "sync/atomic"

// A negotiation is the state of the agreement on extensions between the two sides of a
// connection. A client offers extensions in its first requests, a server that knows the
// offer answers with its settings, and the client acknowledges the settings: PROTOCOL.md,
// section "Negotiation". Neither side waits for the other, and without an answer everything
// goes on without extensions.
//
// A negotiation only keeps state and decides: it does no I/O, starts no timers and takes no
// locks. conn.mu guards it, except for the state, which encoders read. TestNegotiationWalk
// tries all orders of its methods.
type negotiation struct {
	state atomic.Uint32 // a negotiationState

	// The values in the peer's settings; 0 until the settings arrive.
	peerMaxMessage, peerWindow uint32

	inUse uint8 // the features of both sides; 0 before the peer's settings are known

	// hasOffered is set when a request with an offer is queued (client).
	hasOffered bool
}

// negotiationState is the state of a negotiation.
type negotiationState uint32

const (
	// plain is the state without extensions. A client stays in it for good, because its
	// server does not know extensions. A server leaves it at the first offer.
	plain negotiationState = iota

	// offering is the state of a client that has no answer yet: its small requests
	// carry the offer.
	offering

	// offered is the state of a server that has sent its settings and has no
	// acknowledgement yet. A proxy may have passed the offer on and ignore the settings.
	offered

	// extended is the state in which a side knows that the other side has the
	// extensions in use.
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

// queued records that a client has queued a request with the offer.
func (n *negotiation) queued() { n.hasOffered = true }

// answered is called by a client for a frame on the stream of a request with the offer. A
// server that knows the offer has sent its settings before, so an offering client becomes
// plain.
func (n *negotiation) answered() {
	if n.is(offering) {
		n.set(plain)
	}
}

// settled is called by a client for the server's settings. It reports whether the client
// must acknowledge them before it sends anything else. A client that has not offered, or
// has become plain, ignores them.
func (n *negotiation) settled(own, peer settings) (ack bool) {
	if !n.is(offering) || !n.hasOffered {
		return false
	}
	n.agree(own, peer)
	n.set(extended)
	return true
}

// offer is called by a server for an offer. It reports whether the server must send its
// settings before any other answer to the request. Later offers change nothing.
func (n *negotiation) offer(own, peer settings) (answer bool) {
	if !n.is(plain) {
		return false
	}
	n.agree(own, peer)
	n.set(offered)
	return true
}

// acknowledged is called by a server for the acknowledgement. It reports whether this is
// the first one: from then on the server relies on extensions.
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
// server that has confirmed extensions. A server also sends, from the offer on, those that
// do no harm to a client which ignores id 0, so that the first call has them, too.
func (n *negotiation) maySend(f features) bool {
	early := n.is(offered) && f&(featureMetadata|featureGoaway) == f
	return features(n.inUse).has(f) && (early || n.is(extended))
}
