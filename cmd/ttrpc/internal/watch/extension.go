package watch

import (
	"fmt"

	"github.com/containerd/ttrpc/cmd/ttrpc/internal/proxy"
	"github.com/containerd/ttrpc/internal/frame"
	"google.golang.org/grpc/codes"
)

// This file is the frames of extensions: PROTOCOL.md, section "Frames of extensions".

// extension goes on by a frame of an extension. body is nil if it is not whole.
func (c *conn) extension(e *Event, body []byte, whole bool) {
	if !whole {
		return
	}
	typ := e.Header.Type
	if typ == frame.TypeSettings {
		c.settingsFrame(e, body)
		return
	}
	early := e.Dir == proxy.ToClient && c.settings != nil && (typ == frame.TypeMetadata || typ == frame.TypeGoaway)
	if !c.acked && !early && !c.blind {
		e.violation("a frame of extensions before they are negotiated")
	}
	if ok := c.contents(e, typ, body); !ok {
		e.violation(fmt.Sprintf("%d bytes are too short for the payload, or cannot be decoded", len(body)))
	}
	if wrongSide(typ, e.Dir) {
		e.violation("the other side alone sends this: it is ignored")
	}
}

func wrongSide(typ frame.Type, dir proxy.Direction) bool {
	switch typ {
	case frame.TypeCancel:
		return dir == proxy.ToClient
	case frame.TypeGoaway, frame.TypeMetadata:
		return dir == proxy.ToServer
	}
	return false
}

func (c *conn) settingsFrame(e *Event, body []byte) {
	ack := e.Header.Flags&frame.FlagAck != 0
	switch {
	case ack && e.Dir == proxy.ToServer:
		e.Extension = "acknowledgement"
		if c.settings == nil && !c.blind {
			e.violation("an acknowledgement without settings")
		} else if c.acked {
			e.violation("an acknowledgement a second time: it is ignored")
		}
		c.acked = true
	case !ack && e.Dir == proxy.ToClient:
		settings, ok := frame.ParseSettings(body)
		e.Extension = settingsText(settings)
		switch {
		case !ok:
			e.violation("no settings")
			return
		case c.settings != nil:
			e.violation("settings a second time: they are ignored")
			return
		case c.offered == nil && !c.blind:
			e.violation("settings without an offer")
		}
		c.settings = &settings
	default:
		e.violation("settings from the wrong side")
	}
}

// contents describes the payload of a frame, and reports whether it is one.
func (c *conn) contents(e *Event, typ frame.Type, body []byte) (ok bool) {
	switch typ {
	case frame.TypeCancel:
		cancel, ok := frame.ParseCancel(body)
		if ok {
			e.Extension = fmt.Sprintf("stream %d: %v", cancel.ID, codes.Code(cancel.Code))
			c.cancel(e, cancel)
		}
		return ok
	case frame.TypeWindow:
		window, ok := frame.ParseWindow(body)
		e.Extension, e.Call = fmt.Sprintf("stream %d: up to %d bytes", window.ID, window.Limit), c.calls[window.ID]
		return ok
	case frame.TypePing, frame.TypePong:
		number, ok := frame.ParsePing(body)
		e.Extension = fmt.Sprintf("number %d", number)
		return ok
	case frame.TypeGoaway:
		goaway, ok := frame.ParseGoaway(body)
		e.Extension = fmt.Sprintf("no calls after stream %d: %v %q", goaway.LastID, codes.Code(goaway.Code), cut(goaway.Text, 200))
		return ok
	case frame.TypeMetadata:
		metadata, ok := frame.ParseMetadata(body)
		e.Extension, e.Metadata, e.Call = fmt.Sprintf("stream %d", metadata.ID), metadata.Pairs, c.calls[metadata.ID]
		return ok
	}
	e.note("a type that is reserved: it is ignored")
	return true
}

// cancel ends a call that its client has given up.
func (c *conn) cancel(e *Event, cancel frame.Cancel) {
	call := c.calls[cancel.ID]
	if call == nil || e.Dir != proxy.ToServer {
		return
	}
	call.Cancelled = true
	e.Call, e.Ends = call, true
	c.finish(call, e.Time, codes.Code(cancel.Code))
	if len(c.gone) >= maxGone {
		c.gone, c.blind = map[uint32]bool{}, true
	}
	c.gone[cancel.ID] = true
}

func settingsText(s frame.Settings) string {
	text := fmt.Sprintf("version %d, %v, messages of %d bytes", s.Version, s.Features, s.Limit())
	if s.Window != 0 {
		text += fmt.Sprintf(", windows of %d bytes", s.Window)
	}
	return text
}
