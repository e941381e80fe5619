package tls

import (
	"os"
	"reflect"
	"testing"

	"distproof/internal/reuse"
)

// NewStream returns a stream with tables of its own.
func NewStream(start Start) *Stream { return NewTables().NewStream(start) }

// TestMain has all tests find what is used after it was given back.
func TestMain(m *testing.M) {
	reuse.Spoil(true)
	os.Exit(m.Run())
}

// TestFactsApart: nothing of the memory that is used again for the next connection is
// in the facts of one.
func TestFactsApart(t *testing.T) {
	defer reuse.Spoil(true)
	eachCapture(t, func(t *testing.T, _ string, conns []*parts) {
		for i, c := range conns {
			combined := func() *Facts {
				a, b := NewStream(AtStart), NewStream(AtStart)
				feed(a, c[client], 0)
				feed(b, c[server], 0)
				if i%2 == 1 {
					Condense(a, b)
				}
				return Combine(a, b, Ending{Whole: true, ClosedBy: RoleServer, Orderly: true})
			}
			reuse.Spoil(false)
			want := combined()
			reuse.Spoil(true)
			if got := combined(); !reflect.DeepEqual(got, want) {
				t.Errorf("connection %d:\n%+v\nwith memory that was overwritten\n%+v", i, want, got)
			}
		}
	})
}
