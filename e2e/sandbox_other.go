//go:build !linux

package main

import (
	"context"
	"errors"
	"runtime"
)

// Containers need Linux; checkPlatform says so and nothing else is reached.

func checkPlatform() error { return errors.New("containers need Linux, this is " + runtime.GOOS) }

func lock(context.Context) (func(), error) { return nil, errCannotRun }

func removeStale() error { return errCannotRun }

func runJob(context.Context, options, job, string) result { panic("BUG: not Linux") }

func initMain(string) int { panic("BUG: not Linux") }

func limitDescriptors(int, uint64) (uint64, error) { panic("BUG: not Linux") }

func mountDisk(string, int) error { panic("BUG: not Linux") }

func unmount(string) error { panic("BUG: not Linux") }
