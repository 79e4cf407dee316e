// Package pipe gives a peer that imports it the named pipes of Windows. It is a
// module of its own, which only peers that are compared on pipes require.
package pipe
