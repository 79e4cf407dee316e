// Package gentest tests the code that the generators write. Its directories have
// the proto files, and below pbgo and gogo what protoc-gen-go-ttrpc and
// protoc-gen-gogottrpc make of them; the tests compile that code, and call every
// method of every service over a pipe.
//
// `make generate` writes the code anew, and `make checkgenerate` compares it.
package gentest
