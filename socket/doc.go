// Package socket listens on Unix sockets, and connects clients to Unix sockets and TCP
// ports. It replaces sockets that a killed server left behind, sets the mode and the owner
// of a socket before anyone can connect, and returns errors that name the mistake.
//
//	l, err := socket.ListenUnix("/run/inventory.sock", socket.WithMode(0o660))
//	// ...
//	err = server.Serve(ctx, l)
//
//	client, err := socket.Dial(ctx, "unix:///run/inventory.sock")
//
// Servers and clients also work with any other net.Listener and net.Conn. The package is
// separate so that the API of package ttrpc stays limited to the protocol.
package socket
