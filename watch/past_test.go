package watch

import (
	"fmt"
	"net/netip"
	"testing"

	"distproof/decode"
)

// TestQuestionsHideNoNode: whoever asks a port mapper for many names that no node
// has does not make it forgotten where the nodes are.
func TestQuestionsHideNoNode(t *testing.T) {
	server := netip.MustParseAddrPort("10.0.0.2:4369")
	var all []ended
	ask := func(query, announced string) {
		all = append(all, ended{Connection: new(decode.Connection), telling: true, kind: kind{
			client: netip.MustParseAddr("10.0.0.3"), server: server, protocol: decode.EPMD, queries: query, announced: announced,
		}})
	}
	questions := func(from int) {
		for i := range 100 {
			ask(fmt.Sprintf("PORT_PLEASE2_REQ x%d refused", from+i), "")
		}
	}
	questions(0)
	ask("PORT_PLEASE2_REQ a ok", "a at 9100")
	ask("PORT_PLEASE2_REQ b ok", "b at 9200")
	questions(100)
	const excess = 150
	n := 0
	for by := 0; by <= 3 && n < excess; by++ {
		n += thin(all, excess-n, by)
	}
	if n < excess {
		t.Errorf("%d are folded, want %d", n, excess)
	}
	for _, x := range all {
		if x.folded && x.announced != "" {
			t.Errorf("where %q is folded", x.announced)
		}
	}
}
