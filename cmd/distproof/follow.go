package main

import (
	"cmp"
	"errors"
	"io"
	"runtime"

	"distproof/capture"
	"distproof/capture/link"
	"distproof/decode"
)

// workers returns how many goroutines share the work.
func (o analyzeOptions) workers() int { return cmp.Or(o.Workers, runtime.GOMAXPROCS(0)) }

// follow brings every packet's segment to the decoder.
func follow(src capture.Source, links *link.Decoder, decoder *decode.Decoder, keys *keyring, workers int) (err error) {
	if keys.given {
		workers = 0 // what was read of the key log when a packet came must not depend on them
	}
	pool := decoder.Work(workers)
	defer func() { err = cmp.Or(err, pool.Wait()) }()
	ahead := pool.Ahead(src, links)
	var packet capture.Packet
	for n := 1; ; n++ {
		if n%rereadPackets == 0 {
			keys.current()
		}
		if err := ahead.Take(); err != nil {
			return err
		}
		err := src.Next(&packet)
		if errors.Is(err, io.EOF) {
			links.Finish()
			return nil
		}
		if err != nil {
			return err
		}
		if src.HasSecrets() {
			if err := pool.Wait(); err != nil {
				return err
			}
		}
		segment := pool.Next()
		if !links.Decode(&packet, segment) {
			continue
		}
		if err := pool.Take(segment, packet.Stays && len(links.Parts()) == 0); err != nil {
			return err
		}
	}
}
