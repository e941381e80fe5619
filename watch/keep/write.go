package keep

import (
	"errors"
	"time"
)

// write writes what comes, until the end.
func (k *Keeper) write(said told) {
	defer close(k.out)
	for end := false; !end; {
		end = k.wait()
		var failure error
		for _, i := range k.take() {
			err := k.files.write(&i)
			if err != nil && !errors.Is(err, errPaused) {
				failure = err
			}
			k.written(&i, err == nil)
		}
		counters, dropped := k.sums()
		if err := k.files.losses(counters.Lost + dropped); err != nil {
			failure = err
		}
		k.tell(&said, counters, failure)
		k.done(&said, failure)
	}
}

// done counts how it went, and what there is by now.
func (k *Keeper) done(said *told, failure error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if failure != nil {
		k.counters.Errors++
	}
	k.counters.Failing = said.failing
	k.counters.Files, k.counters.Bytes = k.files.there()
}

// wait waits until there is something to do, and reports whether it is the end.
func (k *Keeper) wait() bool {
	var due <-chan time.Time
	if after, ok := k.files.due(); ok {
		timer := time.NewTimer(after)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-k.wake:
	case <-due:
	case <-k.end:
		return true
	}
	if after, ok := k.files.due(); ok && after == 0 {
		if err := k.files.age(); err != nil {
			k.o.Log.Warn("old packets cannot be deleted", "folder", k.files.dir, "error", err)
		}
	}
	return false
}

// written counts an item that left the queue.
func (k *Keeper) written(i *item, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.queue.bytes -= len(i.records)
	if ok {
		k.counters.Packets += uint64(i.packets)
	} else {
		k.counters.Lost += uint64(i.packets)
	}
}

// sums returns the counters, and how many packets the kernel lost.
func (k *Keeper) sums() (Counters, uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counters, k.dropped
}

// told is what was said in the log.
type told struct {
	failing      bool
	lost, missed uint64
	at           time.Time
}

// again is how often the same is said at most.
const again = time.Minute

// tell says in the log what goes wrong: when it begins, when it is over, and else
// now and then.
func (k *Keeper) tell(said *told, now Counters, failure error) {
	switch {
	case failure != nil && !said.failing:
		said.failing = true
		k.o.Log.Error("packets cannot be saved", "folder", k.files.dir, "error", failure)
	case said.failing && k.files.file != nil && failure == nil:
		said.failing = false
		k.o.Log.Info("packets are saved again", "folder", k.files.dir, "lost", now.Lost-said.lost)
		said.lost = now.Lost
	}
	if said.failing || now.Lost == said.lost && now.Missed == said.missed || time.Since(said.at) < again {
		return
	}
	said.at = time.Now()
	k.o.Log.Warn("not all packets are saved", "folder", k.files.dir, "lost", now.Lost-said.lost, "beginnings", now.Missed-said.missed)
	said.lost, said.missed = now.Lost, now.Missed
}
