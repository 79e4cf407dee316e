package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
)

// requestsOf returns the first requests of a client that gets an empty response to each.
func requestsOf(t *testing.T, b *build, n int) [][]byte {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := startProcess(b.program, "client", socket, b.program, "1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.kill()
	io.WriteString(client.stdin, "status_code_and_message\n") // a case of several calls
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var requests [][]byte
	for len(requests) < n {
		header := make([]byte, 10)
		if _, err := io.ReadFull(nc, header); err != nil {
			t.Fatal(err)
		}
		body := make([]byte, binary.BigEndian.Uint32(header))
		if _, err := io.ReadFull(nc, body); err != nil {
			t.Fatal(err)
		}
		requests = append(requests, body)
		// The status that the case wants first.
		status := "\x0a\x17\x08\x01\x12\x13test status message"
		binary.BigEndian.PutUint32(header, uint32(len(status)))
		header[8] = 2 // a response
		nc.Write(append(header, status...))
	}
	return requests
}

// The variants offer as they say, and so do the defaults: until they have an answer.
func TestVariants(t *testing.T) {
	dir := t.TempDir()
	for _, test := range []struct {
		variant variant
		offers  []bool // in each request
	}{
		{"", []bool{true, false}},
		{offers, []bool{true, true}},
		{plain, []bool{false, false}},
	} {
		b := &build{name: "peer-" + string(test.variant), streams: true, variant: test.variant}
		if err := b.compile(context.Background(), dir, false); err != nil {
			t.Fatal(err)
		}
		for i, request := range requestsOf(t, b, len(test.offers)) {
			if got := bytes.Contains(request, []byte{0xc2, 0x3e}); got != test.offers[i] {
				t.Errorf("variant %q: request %d offers: %v, want %v", test.variant, i, got, test.offers[i])
			}
		}
	}
}
