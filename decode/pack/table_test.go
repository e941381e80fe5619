package pack_test

import (
	"strconv"
	"sync"
	"testing"

	"distproof/decode/pack"
)

type value struct {
	text   string
	number uint32
}

// TestTable: what is there once has a number, and what there is no room for has
// none, whoever asks at the same time.
func TestTable(t *testing.T) {
	var table pack.Table[*value]
	get := func(text string) *value {
		return table.Numbered([]byte(text), func(number uint32) *value { return &value{text, number} })
	}
	if get("0"); table.Full() {
		t.Error("one value fills it")
	}
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for i := range 5000 {
				text := strconv.Itoa(i)
				v := get(text)
				w := pack.Writer(nil)
				if n := table.Pack(&w, &v, v.number); n != v.number || v.text != text {
					t.Errorf("%s is %+v, %d", text, *v, n)
				}
				r, got := pack.Reader(w.Packed()), new(value)
				if n := table.Pack(&r, &got, 0); n != v.number || n > 0 && got != v || n == 0 && got != nil {
					t.Errorf("%s is read as %v, %d", text, got, n)
				}
			}
		})
	}
	wait.Wait()
	if !table.Full() {
		t.Error("it is not full")
	}
	if late, again := get("4999"), get("4999"); get("0").number == 0 || late.number != 0 || late == again {
		t.Errorf("the first has number %d, one that came too late %d", get("0").number, get("4999").number)
	}
}
