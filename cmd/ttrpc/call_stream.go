package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/containerd/ttrpc"
	"github.com/containerd/ttrpc/cmd/ttrpc/internal/message"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"
)

// stream makes a call that streams. req is nil if the client does.
func (c *call) stream(req proto.Message) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	desc := &ttrpc.StreamDesc{StreamingClient: c.method.IsStreamingClient(), StreamingServer: c.method.IsStreamingServer()}
	var first any
	if req != nil {
		first = req
	}
	stream, err := c.client.NewStream(ctx, desc, c.service, c.name, first)
	if err != nil {
		return err
	}
	mistake := make(chan error, 1) // sent by the goroutine that sends, once: nil or a mistake in the input
	if desc.StreamingClient {
		// It ends with the input or with the stream, or with the process while it waits
		// for input.
		go func() {
			err := c.send(stream)
			mistake <- err
			if err != nil {
				cancel()
			}
		}()
	}
	err = c.receive(stream, desc.StreamingServer)
	if err == nil {
		return nil
	}
	select {
	case sendErr := <-mistake:
		if sendErr != nil {
			return sendErr
		}
	default:
	}
	return err
}

// send sends the input. It returns an error for a mistake in the input alone; the receiver
// sees all others.
func (c *call) send(stream ttrpc.ClientStream) error {
	next := newSplitter(c.codec.Format, c.in)
	for i := 1; ; i++ {
		b, err := next()
		if err == io.EOF {
			stream.CloseSend()
			return nil
		}
		var m proto.Message
		if err == nil {
			m, err = c.codec.Decode(b, c.method.Input())
		}
		if err != nil {
			return badInput(fmt.Errorf("message %d: %w", i, err))
		}
		if stream.SendMsg(m) != nil {
			return nil
		}
	}
}

// receive prints the messages of the server, which are many or one.
func (c *call) receive(stream ttrpc.ClientStream, many bool) error {
	for {
		resp := dynamicpb.NewMessage(c.method.Output())
		err := stream.RecvMsg(resp)
		if err == io.EOF && many {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.print(resp, many); err != nil {
			return err
		}
		if !many {
			return nil
		}
	}
}

// print prints a message with one write. One of a stream has a line, or its length first.
func (c *call) print(m proto.Message, ofStream bool) error {
	b, err := c.codec.Encode(m, ofStream)
	if err != nil {
		return fmt.Errorf("cannot print the answer: %w", err)
	}
	switch {
	case c.codec.Format != message.Binary:
		b = append(b, '\n')
	case ofStream:
		b = append(binary.AppendUvarint(nil, uint64(len(b))), b...)
	}
	_, err = c.out.Write(b)
	return err
}
