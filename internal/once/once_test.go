package once_test

import (
	"sync"
	"testing"

	"distproof/internal/once"
)

func TestTable(t *testing.T) {
	var table once.Table[int, *int]
	if v, ok := table.Find(0); ok {
		t.Errorf("%v is in an empty table", v)
	}
	get := func(key int) *int { return table.Get(key, func() *int { return &key }) }
	kept := make([]*int, once.Most)
	for i := range kept {
		kept[i] = get(i)
	}
	for i, first := range kept {
		if v, ok := table.Find(i); !ok || v != first || get(i) != first || *v != i {
			t.Fatalf("%d is made more than once", i)
		}
	}
	beyond := once.Most
	if v := get(beyond); *v != beyond || get(beyond) == v {
		t.Errorf("more than %d are kept", once.Most)
	}
}

// Of those who make a value at once, all get the same.
func TestTableAtOnce(t *testing.T) {
	var table once.Table[string, *int]
	var got [8]*int
	var making, all sync.WaitGroup
	making.Add(len(got))
	for i := range got {
		all.Go(func() {
			got[i] = table.Get("key", func() *int {
				making.Done()
				making.Wait()
				return new(int)
			})
		})
	}
	all.Wait()
	for _, v := range got {
		if v != got[0] {
			t.Fatal("there are several values for a key")
		}
	}
}
