package watch

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"distproof/capture"
)

// tickOf makes a packet of a copy with the data of its last one of a side (0 for the
// client), behind all that it sent; n counts them from 1.
func (c *crowd) tickOf(side, number, n int) capture.Packet {
	i := c.lastData()[side]
	p := c.packet(i, number, time.Now(), nil)
	length := int(binary.BigEndian.Uint16(p.Data[ethernet+2:])) - 20 - int(p.Data[ethernet+20+12]>>4)*4
	at := p.Data[tcpSequence:]
	binary.BigEndian.PutUint32(at, binary.BigEndian.Uint32(at)+uint32(n*length))
	return p
}

// While nothing but counters changes, States are made seldom, unless somebody waits
// for them; what is more than that shows within a second.
func TestCountersWait(t *testing.T) {
	mutual := crowdOf(t, "mutual_tls13", 42617)
	open := mutual.open()
	perform(t, Options{Decode: ports(42617)}, func(p *play) {
		p.sends(open, 1, 2)
		sent := 0
		ticks := func(seconds int) {
			for range seconds * 4 {
				sent++
				for side := range 2 {
					p.packets <- open.tickOf(side, 1, sent)
					p.packets <- open.tickOf(side, 2, sent)
				}
				time.Sleep(time.Second / 4)
			}
		}
		ticks(20) // until it is known that it ticks
		p.wants("opened", "started", "opened c1", "opened c2")
		p.made()
		before := p.now().Document.Connections[0].Bytes.Client
		ticks(60)
		if n := p.made(); n < 10 || n > 13 {
			t.Errorf("%d States in a minute", n)
		}
		if after := p.now().Document.Connections[0].Bytes.Client; after <= before {
			t.Errorf("%d bytes, and %d before", after, before)
		}
		p.wants("nothing but counters")

		done := make(chan struct{})
		go func() {
			for range 20 {
				<-p.Changed()
			}
			close(done)
		}()
		began := time.Now()
		ticks(12)
		select {
		case <-done:
		default:
			t.Error("whoever waits for States does not get them")
		}
		if n, most := p.made(), int(time.Since(began)/interval)+1; n < 20 || n > most {
			t.Errorf("%d States in %v, while somebody waits", n, time.Since(began))
		}

		time.Sleep(100 * time.Second)
		p.wants("silent", "stalled c1", "stalled c2")
		ticks(1)
		p.wants("ticking", "ticking c1", "ticking c2")
		ticks(10)
		p.stage.mu.Lock()
		p.stage.dropped += 100
		p.stage.mu.Unlock()
		ticks(1)
		p.wants("loss", "loss", "finding DP302")
		ticks(10)
		p.sends(mutual, 3)
		ticks(1)
		p.wants("opened and closed", "opened c3", "closed c3")
		synctest.Wait()
	})
}

// The clock is asked again when time has passed, or when packets do not tell.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		for _, tt := range []struct {
			packet time.Duration // its time
			again  bool
		}{
			{0, true}, {0, true}, {time.Hour, true}, {time.Hour + 1, false}, {time.Hour + time.Millisecond, false},
			{time.Hour + time.Millisecond + 1, true}, {time.Hour, true}, {time.Hour, true}, {time.Hour + 1, false},
		} {
			time.Sleep(time.Second)
			if again := c.of(&capture.Packet{Time: int64(tt.packet)}) == time.Now(); again != tt.again {
				t.Errorf("packet of %v: asked: %v", tt.packet, again)
			}
		}
	})
}
