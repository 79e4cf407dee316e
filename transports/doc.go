// Package transports has no code but tests: the named cases of internal/suite over
// connections that need other modules. Those over connections of the standard library are
// in the root module.
package transports
