package capture

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

func BenchmarkRead(b *testing.B) {
	for _, size := range []int{64, 1500} {
		data := strings.Repeat("x", size)
		n := 64 << 20 / size
		pcap := append(le.pcap(0xa1b2c3d4, 65535, 1), bytes.Repeat(le.record(1, 1, data), n)...)
		pcapng := append(join(le.section(), le.iface(1, 0)), bytes.Repeat(le.packet(0, 1, data), n)...)
		for _, c := range []struct {
			name string
			file []byte
		}{
			{"pcap", pcap}, {"pcapng", pcapng}, {"pcap+gzip", gzipped(b, pcap)}, {"pcap+zstd", zstdded(b, pcap)},
		} {
			path := file(b, "capture", c.file)
			b.Run(fmt.Sprintf("%s/%d", c.name, size), func(b *testing.B) {
				b.SetBytes(int64(len(pcap)))
				b.ReportAllocs()
				for b.Loop() {
					f, err := Open([]string{path}, Options{})
					if err != nil {
						b.Fatal(err)
					}
					var p Packet
					for err == nil {
						err = f.Next(&p)
					}
					if err != io.EOF {
						b.Fatal(err)
					}
					f.Close()
				}
			})
		}
	}
}
