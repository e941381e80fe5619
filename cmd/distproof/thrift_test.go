package main

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func gcPercent() int {
	sample := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(sample)
	return int(sample[0].Value.Uint64())
}

// TestThrift: with much memory in use, there is less garbage in proportion; in the
// end, and with little, as much as ever.
func TestThrift(t *testing.T) {
	t.Setenv("GOGC", "")
	before := gcPercent()
	stop := beThrifty()
	defer stop()
	until := func(what string, ok func(int) bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !ok(gcPercent()); runtime.GC() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d percent", what, gcPercent())
			}
			time.Sleep(time.Millisecond)
		}
	}
	much := make([]byte, 3*usualHeap)
	until("much in use", func(p int) bool { return p < 60 })
	runtime.KeepAlive(much)
	until("little in use", func(p int) bool { return p == before })
	much = make([]byte, 3*usualHeap)
	until("much again", func(p int) bool { return p < 60 })
	stop()
	runtime.KeepAlive(much)
	if got := gcPercent(); got != before {
		t.Errorf("%d percent in the end, %d before", got, before)
	}
}

func TestGarbagePercent(t *testing.T) {
	for inUse, want := range map[uint64]int{0: 100, 4 << 20: 100, usualHeap: 100, 2 * usualHeap: 54, 8 * usualHeap: 21, 1 << 40: 10} {
		if got := garbagePercent(inUse); got != want {
			t.Errorf("%d bytes in use: %d percent, want %d", inUse, got, want)
		}
	}
}
