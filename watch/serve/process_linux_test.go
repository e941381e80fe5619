package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

func TestReadStat(t *testing.T) {
	read := func(content string) (usage, error) {
		f, err := os.Open(writeFile(t, filepath.Join(t.TempDir(), "stat"), []byte(content), 0o600))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		return readStat(f)
	}
	got, err := read("1234 (a) b (c)) S 1 1234 1234 0 -1 4194560 2061 0 0 0 150 75 0 0 20 0 9 0 345678 1265664000 24510 18446744073709551615 1 1 0\n")
	want := usage{cpu: 2.25, resident: 24510 * float64(os.Getpagesize()), virtual: 1265664000}
	if err != nil || got != want {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for _, wrong := range []string{"", "1 (x)", "1 (x) S 1 1 1 0 -1 1 1 1 1 1 a 1 0 0 20 0 9 0 1 1 1 1"} {
		if got, err := read(wrong); err == nil {
			t.Errorf("%q: %+v", wrong, got)
		}
	}
}

// TestProcess compares with what the library says outside of a sandbox.
func TestProcess(t *testing.T) {
	gathered := func(c prometheus.Collector) map[string]float64 {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(c)
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		values := make(map[string]float64)
		for _, f := range families {
			m := f.GetMetric()[0]
			values[f.GetName()+" "+f.GetHelp()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return values
	}
	ours, theirs := gathered(newProcess(1)), gathered(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for name, value := range ours {
		other, ok := theirs[name]
		if !ok {
			t.Errorf("%s: the library has no such metric", name)
		}
		if memory := strings.Contains(name, "_memory_bytes "); memory && (value > 2*other || other > 2*value) {
			t.Errorf("%s: %v, and %v by the library", name, value, other)
		}
	}
	if len(ours) < 4 { // before Linux 6.2 without the number of open files
		t.Errorf("%v", ours)
	}
}
