package report

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// inParallel calls f with 0 to n-1, on all processors.
func inParallel(n int, f func(int)) {
	if n <= chunk {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wait sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for from := int(next.Add(chunk)) - chunk; from < n; from = int(next.Add(chunk)) - chunk {
				for i := from; i < min(from+chunk, n); i++ {
					f(i)
				}
			}
		})
	}
	wait.Wait()
}
