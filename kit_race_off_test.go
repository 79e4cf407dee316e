//go:build !race

package ttrpc

const raceEnabled = false
