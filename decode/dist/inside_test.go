package dist

import "testing"

// widened gives a message with a length of two bytes one of four.
func widened(m []byte) []byte { return cat(0, 0, m) }

// Inside TLS the handshake has the framing of what follows it.
func TestInsideTLS(t *testing.T) {
	client := decode(t, InsideTLS, widened(sendName6), widened(reply), regSend, tick)
	if client.Recognition != ByHandshake || client.Handshake.Name != "demo@n1.lab" || client.RegisteredNames["rex"] != 1 || client.Foreign {
		t.Errorf("client: %+v", client)
	}
	server := decode(t, InsideTLS, widened(statusOK), widened(challenge6), widened(ack), linkMsg)
	if server.Recognition != ByHandshake || server.Handshake.Name != "demo@n2.lab" || server.Messages["LINK"] != 1 || server.Foreign {
		t.Errorf("server: %+v", server)
	}
}

// What is not distribution inside TLS is not called so, and a length beyond
// that of every handshake message is none.
func TestInsideTLSOther(t *testing.T) {
	for name, b := range map[string][]byte{
		"HTTP":             []byte("GET / HTTP/1.1\r\nHost: n1.lab\r\n\r\n"),
		"two-byte framing": sendName6[:len(sendName6)-1],
		"long":             cat(u32(0x7fffffff), 'N', zeros(10_000)),
		"65562 bytes":      cat(u32(0x1001a), sendName6[2:], zeros(1<<17)),
	} {
		if got := decode(t, InsideTLS, b); got.Recognition != NotRecognised {
			t.Errorf("%s: recognised by %s", name, got.Recognition)
		}
	}
}
