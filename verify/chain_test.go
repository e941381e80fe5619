package verify

import (
	"crypto/x509"
	"reflect"
	"testing"
	"time"
)

// TestAnswersAreKept: an examiner that has seen other connections says the same
// as one that has seen none.
func TestAnswersAreKept(t *testing.T) {
	ca, other := newAuthority(t, "ca"), newAuthority(t, "ca")
	ending := authorityTemplate("below")
	ending.NotBefore, ending.NotAfter = year(2026), year(2028)
	below := ca.sign(t, ending)
	good := template{client: true, server: true, names: []string{"n2.lab"}, from: 2025, to: 2030}
	serversOnly := good
	serversOnly.client = false
	chains := [][][]byte{
		{ca.leaf(t, good)},
		{ca.leaf(t, serversOnly)},
		{other.leaf(t, good)},
		{below.leaf(t, good), below.cert.Raw},
		{below.leaf(t, good)},
		{newAuthority(t, "x").cert.Raw},
	}
	pool := ca.pool()
	seasoned := newExaminer(pool)
	results := make(map[VerifyStatus]int)
	times := []time.Time{year(2024), year(2025), year(2025).Add(time.Hour), year(2026).Add(-time.Nanosecond), year(2026), year(2027), year(2028), year(2028).Add(time.Nanosecond), year(2029), year(2031)}
	for range 2 {
		for _, at := range times {
			for i, chain := range chains {
				c := with(mutual(), on(at), sending(chain...), showing(chain...))
				got, want := seasoned.examine(c), newExaminer(pool).examine(c)
				if !reflect.DeepEqual(got.Client, want.Client) || !reflect.DeepEqual(got.Server, want.Server) {
					t.Errorf("chain %d at %s: %+v, want %+v", i, at, got, want)
				}
				results[got.Server.Status]++
			}
		}
	}
	if results[VerifyOK] < 10 || results[VerifyFailed] < 10 {
		t.Errorf("too little variety: %v", results)
	}
	if n := len(seasoned.store.certificates); n != 7 {
		t.Errorf("%d certificates were read, want 7", n)
	}
}

// TestUsageOfCAs: the leaf's own wrong usage does not hide that of a CA, nor
// does it count twice.
func TestUsageOfCAs(t *testing.T) {
	ca := newAuthority(t, "ca")
	leaf := ca.leaf(t, template{client: true, names: []string{"n2.lab"}, from: 2025, to: 2030})
	c := with(mutual(), on(year(2026)), showing(leaf))
	got := newExaminer(ca.pool()).examine(c).Server
	if len(got.Problems) != 1 || got.Problems[0].Kind != WrongUsage {
		t.Errorf("%+v", got)
	}
	if allows(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}, x509.ExtKeyUsageServerAuth) != true {
		t.Error("anyExtendedKeyUsage does not allow all")
	}
}
