package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// gcPercent is what is set; -1 if garbage is not collected for it.
func gcPercent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	if n := sample[0].Value.Uint64(); n <= math.MaxInt32 {
		return int(n)
	}
	return -1
}

// TestCollection: no garbage is collected before there is much memory; then, with
// much in use, there is less garbage in proportion. In the end it is as ever.
func TestCollection(t *testing.T) {
	t.Setenv("GOGC", "")
	defer debug.SetGCPercent(debug.SetGCPercent(90))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64 - 1))
	until := func(what string, most int) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			runtime.GC()
			p, want := gcPercent(), min(90, garbagePercent(heapInUse()))
			if p <= most && p >= want-5 && p <= want+5 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d percent, want %d, at most %d", what, p, want, most)
			}
		}
	}
	for _, late := range []bool{true, false} {
		end := paceCollection(late)
		if p, limit := gcPercent(), debug.SetMemoryLimit(-1); late && (p != -1 || limit != firstCollection) || !late && (p != 90 || limit != math.MaxInt64-1) {
			t.Errorf("late %t: %d percent, limit %d, at first", late, p, limit)
		}
		until("first", 90)
		much := make([]byte, 3*usualHeap)
		until("much in use", 60)
		if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64-1 {
			t.Errorf("late %t: limit %d afterwards", late, limit)
		}
		runtime.KeepAlive(much)
		until("less in use", 90)
		end()
		if p := gcPercent(); p != 90 {
			t.Errorf("late %t: %d percent in the end", late, p)
		}
	}
	paceCollection(true)() // before any
	if p, limit := gcPercent(), debug.SetMemoryLimit(-1); p != 90 || limit != math.MaxInt64-1 {
		t.Errorf("%d percent, limit %d after a short run", p, limit)
	}
}

func TestGarbagePercent(t *testing.T) {
	for inUse, want := range map[uint64]int{0: 100, 4 << 20: 100, usualHeap: 100, 2 * usualHeap: 54, 8 * usualHeap: 21, 1 << 40: 10} {
		if got := garbagePercent(inUse); got != want {
			t.Errorf("%d bytes in use: %d percent, want %d", inUse, got, want)
		}
	}
}
