package frame

// foreignProtocols are the protocols most likely reached by mistake. None of their
// beginnings is the beginning of a frame.
var foreignProtocols = []struct{ beginning, name string }{
	{"\x16\x03", "TLS"}, // a handshake
	{"\x15\x03", "TLS"}, // an alert, a server's answer to a ttrpc frame
	{"PRI ", "HTTP/2 (gRPC?)"},
	{"HTTP", "HTTP"},
	{"GET ", "HTTP"}, {"HEAD ", "HTTP"}, {"POST ", "HTTP"}, {"PUT ", "HTTP"}, {"PATCH ", "HTTP"},
	{"DELETE ", "HTTP"}, {"OPTIONS ", "HTTP"}, {"CONNECT ", "HTTP"}, {"TRACE ", "HTTP"},
}

// settingsHeader is the length of a frame header in HTTP/2.
const settingsHeader = 9

// Foreign returns the protocol of a connection's first bytes, or "" if it is ttrpc
// or unknown. fromServer is set if a server has sent the bytes.
func Foreign(b []byte, fromServer bool) string {
	if len(b) > 0 && b[0] != 0 { // no frame
		for _, p := range foreignProtocols {
			if n := len(p.beginning); len(b) >= n && string(b[:n]) == p.beginning {
				return p.name
			}
		}
	}
	// A server of HTTP/2 begins with SETTINGS, of six bytes each, on stream 0. As a
	// frame of ttrpc that is one of type 0 on stream 0, which no server sends.
	if fromServer && len(b) >= settingsHeader && b[0] == 0 && b[1] == 0 && b[2]%6 == 0 && string(b[3:settingsHeader]) == "\x04\x00\x00\x00\x00\x00" {
		return "HTTP/2 (gRPC?)"
	}
	return ""
}
