package reuse

import "testing"

// TestSpoil: what is given back is overwritten, and nothing else is.
func TestSpoil(t *testing.T) {
	made := 0
	p := Pool[[4]byte]{New: func() *[4]byte { made++; return new([4]byte) }, Spoil: func(b *[4]byte) { *b = [4]byte{9, 9, 9, 9} }}
	a, b := p.Get(), p.Get()
	if a == b || made != 2 {
		t.Fatalf("%d made", made)
	}
	*a, *b = [4]byte{1}, [4]byte{2}
	p.Put(a)
	if *a != [4]byte{1} {
		t.Errorf("overwritten: %v", *a)
	}
	Spoil(true)
	defer Spoil(false)
	p.Put(b)
	if *b != [4]byte{9, 9, 9, 9} {
		t.Errorf("not overwritten: %v", *b)
	}
}
