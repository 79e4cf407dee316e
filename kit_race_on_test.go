//go:build race

package ttrpc

const raceEnabled = true
