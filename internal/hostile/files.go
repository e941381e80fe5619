package hostile

import (
	"bytes"
	"slices"
)

// A File is one file of testdata/.
type File struct {
	Name string
	Data []byte
}

// Files makes all files.
func Files() []File { return slices.Concat(badFiles(), badPackets(), badPayloads()) }

// badFiles are wrong as files.
func badFiles() []File {
	plain := plainNodes().frames()
	cut := pcapFile(262144, plain...)
	ng := pcapngFile(ngInterface(1), ngPacket(0, 0, plain[0]))
	return []File{
		{"empty.pcap", nil},
		{"text.pcap", []byte("10:00:00.000000 IP 10.0.0.1.40000 > 10.0.0.2.9100: Flags [S], seq 1000\n")},
		{"cut-file-header.pcap", cut[:20]},
		{"cut-packet.pcap", cut[:len(cut)-10]},
		{"caplen-3gib.pcap", append(pcapFile(262144, plain[0]), pcapRecord(1, 3<<30, plain[1])...)},
		{"snaplen-zero.pcap", pcapFile(0, plain...)},
		{"times.pcap", slices.Concat(pcapFile(262144), le32(uint32(1<<32-1)), le32(uint32(1<<32-1)), le32(0), le32(0), make([]byte, 16))},
		{"cut-block.pcapng", ng[:len(ng)-10]},
		{"block-length-zero.pcapng", append(slices.Clone(ng), slices.Concat(le32(6), le32(0), make([]byte, 24))...)},
		{"block-length-4gib.pcapng", append(slices.Clone(ng), slices.Concat(le32(6), le32(uint32(1<<32-4)), make([]byte, 24))...)},
		{"block-lengths-differ.pcapng", append(slices.Clone(ng), slices.Concat(le32(5), le32(24), make([]byte, 12), le32(28))...)},
		{"interface-missing.pcapng", pcapngFile(ngInterface(1), ngPacket(0, 0, plain[0]), ngPacket(7, 1, plain[1]), ngPacket(0, 2, plain[2]))},
		{"tsresol-64.pcapng", pcapngFile(ngInterface(1, le16(9), le16(1), []byte{64, 0, 0, 0}), ngPacket(0, 0, plain[0]))},
		{"options-overflow.pcapng", pcapngFile(ngInterface(1, le16(9), le16(0xffff), []byte{6, 0, 0, 0}), ngPacket(0, 0, plain[0]))},
		{"secrets-4gib.pcapng", pcapngFile(block(10, le32(0x544c534b), le32(uint32(1<<32-1)), []byte("CLIENT_RANDOM")), ngInterface(1), ngPacket(0, 0, plain[0]))},
		{"two-link-types.pcapng", twoLinkTypes()},
		{"bomb.pcap.gz", gzipBomb()},
		{"bomb.pcap.zst", zstdBomb()},
	}
}

// badPackets are wrong below TCP's payload.
func badPackets() []File {
	return []File{
		{"tunnels-64.pcap", pcapFile(262144, nested(64))},
		{"fragments-overlap.pcap", overlapping()},
		{"tcp-headers.pcap", badHeaders()},
	}
}

// badPayloads are wrong in what TCP carries.
func badPayloads() []File {
	return []File{
		{"tls-record-65535.pcap", newTalk(Port).say(0, tlsRecord(22, 65535, handshake(1, 100, make([]byte, 100)))).close().pcap()},
		{"hello-lengths.pcap", newTalk(Port).say(0, clientHello(65534, "")).say(1, serverHello()).close().pcap()},
		{"message-endless.pcap", newTalk(Port).say(0, clientHello(2, "")).say(1, serverHello()).say(1, tlsRecord(22, 2000, handshake(11, 1<<24-1, make([]byte, 1996)))).pcap()},
		{"tls-then-not.pcap", newTalk(Port).say(0, clientHello(2, "")).say(1, serverHello()).say(1, []byte("HTTP/1.1 200 OK\r\n\r\n")).say(0, []byte("and on it goes")).close().pcap()},
		{"name-65535.pcap", newTalk(Port).say(0, slices.Concat(be16(65535), []byte{'N'}, flags(), creation(), be16(65520), bytes.Repeat([]byte("a"), 2000))).pcap()},
		{"epmd-endless.pcap", newTalk(epmdPort).say(0, []byte("\x00\x02zb")).say(1, slices.Concat([]byte{119, 0}, be16(Port), []byte{77, 0}, be16(6), be16(6), be16(65535), bytes.Repeat([]byte("b"), 2000))).pcap()},
		{"epmd-controls.pcap", newTalk(epmdPort).say(0, []byte("\x00\x02zb")).say(1, slices.Concat([]byte{119, 0}, be16(Port), []byte{77, 0}, be16(6), be16(6), nameOf(Controls), be16(0))).close().pcap()},
		{"sni-controls.pcap", newTalk(Port).say(0, clientHello(2, Controls)).say(1, serverHello()).close().pcap()},
		{"names-controls.pcap", cleartext(Controls+"@h1.example", Controls+"@h2.example").pcap()},
	}
}
