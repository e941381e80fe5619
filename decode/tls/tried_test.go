package tls

import (
	"reflect"
	"testing"

	"distproof/decode/fact"
)

// TestTried: what was found out of signatures, by a connection or by a clone, is not
// looked for again, and holds for no more than the messages that it was found with.
func TestTried(t *testing.T) {
	for _, name := range []string{"mutual_tls12", "oneway_tls12"} {
		for _, c := range connections(t, "../../pcaps/"+name+".pcap") {
			if ok, _ := Raw(head(c[client])); !ok {
				continue
			}
			// So many parts of either direction, as of which clones are asked.
			pair := func(n int, ask bool) (a, b *Stream, verified int) {
				a, b = NewStream(AtStart), NewStream(AtStart)
				for i := range n {
					for d, s := range [2]*Stream{a, b} {
						if i < len(c[d]) {
							s.Data(c[d][i].at, c[d][i].b)
						}
					}
					if ask {
						f := Combine(a.Clone(nil), b.Clone(nil), Ending{})
						if f.ClientCertificate.Signature.Is() || f.ServerCertificate.Signature.Is() {
							verified++
						}
					}
				}
				return a, b, verified
			}
			most := max(len(c[client]), len(c[server]))
			for n := 1; n <= most; n++ {
				a, b, _ := pair(n, false)
				want := Combine(a, b, Ending{})
				x, y, verified := pair(n, true)
				if got := Combine(x, y, Ending{}); !reflect.DeepEqual(got, want) {
					t.Fatalf("%s, %d parts: got\n%+v\nwant\n%+v", name, n, got.Session, want.Session)
				}
				if n < most {
					continue
				}
				if verified == 0 || name == "mutual_tls12" && want.ClientCertificate.Possession != fact.Verified {
					t.Fatalf("%s: verified %d times, %+v", name, verified, want.Session)
				}
				found, waits := y.tried.last.Load(), Unchecked(a, b)
				Combine(x.Clone(nil), y.Clone(nil), Ending{})
				if found == nil || found != y.tried.last.Load() || Unchecked(x, y) || !waits {
					t.Errorf("%s: checked again", name)
				}
				Condense(x, y)
				if got := Combine(x, y, Ending{}); y.tried != nil || y.signed == nil || !reflect.DeepEqual(got, want) {
					t.Errorf("%s, condensed: got\n%+v\nwant\n%+v", name, got.Session, want.Session)
				}
			}
		}
	}
}
