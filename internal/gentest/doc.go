// Package gentest tests the code that the generators write. The directory proto has the
// proto files. The directories pbgo and gogo of testdata have the output of
// protoc-gen-go-ttrpc and protoc-gen-gogottrpc for these files. The tests compile that code
// and call every method of every service over a pipe.
//
// `make generate` writes the code, and `make checkgenerate` compares it.
//
// The other directories are modules of their own, which `make gentest` runs:
// programs written for released versions (released102, released1210), the newest
// version of everything (newest), a genproto of 2020 (genproto2020), the compilers
// that cmd/README.md names (compilers), and the API of containerd (containerd).
package gentest
