//go:build !linux

package workload

import "time"

func napUntil(t time.Time) { time.Sleep(time.Until(t)) }
