//go:build go1.25

package ttrpc

import "context"

// extend negotiates with a server under test, by a call on stream 1.
func (p *peer) extend() {
	p.t.Helper()
	p.send(withOffer(request(1, "Echo", 0, text("offer"))))
	p.want("an offer", settingsOf(defaultConnConfig.settings()))
	p.want("its request", response(1, text("offer")))
	p.send(ack)
	p.wantNothing("the acknowledgement")
}

// extendClient negotiates with a client under test, by a call on stream 1.
func (p *peer) extendClient(c *Client) {
	p.t.Helper()
	p.extendClientBy(c, defaultConnConfig.settings())
}

func (p *peer) extendClientBy(c *Client, s settings) {
	p.t.Helper()
	call := goCall(p.t, context.Background(), c, text("offer"))
	p.next("the offer")
	p.send(settingsOf(s), response(1, text("answer")))
	p.want("settings", ack)
	call.wantValue("the answer", "answer")
}

// frameOf is a frame of an extension.
func frameOf(buf *buffer) rawFrame {
	defer buf.release()
	h := parseHeader(buf.b)
	return rawFrame{id: h.id, typ: h.typ, flags: h.flags, body: append([]byte(nil), buf.b[headerLength:]...)}
}
