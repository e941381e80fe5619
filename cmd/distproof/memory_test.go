package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestMemoryFlag(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "134217728": 128 << 20, "512M": 512 << 20, "2G": 2 << 30, "2GiB": 2 << 30, "2gb": 2 << 30, "1T": 1 << 40} {
		var m memory
		if err := m.Set(text); err != nil || int64(m) != want {
			t.Errorf("%s: %d (%v), want %d", text, m, err, want)
		}
	}
	for _, text := range []string{"", "G", "1X", "-1G", "1.5G", "127M", "5000000000000G", "9223372036854775807T"} {
		var m memory
		if err := m.Set(text); err == nil {
			t.Errorf("%q is %d", text, m)
		}
	}
}

// TestCollectLate: what was put off until there is much is then as before.
func TestCollectLate(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(70))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64 - 1))
	memory(0).collectLate()
	memory(0).collectLate()
	if n := debug.SetMemoryLimit(-1); n != firstCollection {
		t.Errorf("the limit is %d", n)
	}
	runtime.GC()
	for range 1000 {
		if debug.SetMemoryLimit(-1) == math.MaxInt64-1 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
	if percent := debug.SetGCPercent(100); percent != 70 {
		t.Errorf("it is collected at %d percent", percent)
	}
	memory(1 << 30).collectLate()
	if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != 100 || limit != math.MaxInt64-1 {
		t.Errorf("with a bound: %d percent, %d", percent, limit)
	}
}
