// Package socket listens on unix sockets, and connects clients to them and to TCP ports,
// and takes care of sockets that a killed server left behind, of the mode and the owner of
// the file, and of errors that name the mistake.
//
//	l, err := socket.ListenUnix("/run/inventory.sock", socket.WithMode(0o660))
//	// ...
//	err = server.Serve(ctx, l)
//
//	client, err := socket.Dial(ctx, "unix:///run/inventory.sock")
//
// It is a package of its own so that the API of package ttrpc stays that of the
// protocol; any other net.Listener and net.Conn will do as well.
package socket
