package main

import (
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
)

// A memory is a flag's amount of memory in bytes, such as 512M.
type memory int64

// leastMemory is what a run takes at the least.
const leastMemory = 128 << 20

// units are the suffixes, and how far each shifts.
var units = map[byte]int{'K': 10, 'M': 20, 'G': 30, 'T': 40}

func (m *memory) Set(s string) error {
	text, shift := strings.TrimSuffix(strings.ToUpper(s), "B"), 0
	text = strings.TrimSuffix(text, "I")
	if n := len(text); n > 0 && units[text[n-1]] > 0 {
		text, shift = text[:n-1], units[text[n-1]]
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > 1<<62>>shift {
		return usagef("", "%q is not an amount of memory such as 512M or 2G", s)
	}
	if n <<= shift; n > 0 && n < leastMemory {
		return usagef("", "%q is less than 128M, which a run needs at least", s)
	}
	*m = memory(n)
	return nil
}

func (m *memory) String() string { return strconv.FormatInt(int64(*m), 10) }

// Type is the name of the value in help texts.
func (m *memory) Type() string { return "SIZE" }

func memoryFlag(f *pflag.FlagSet, m *memory) {
	f.Var(m, "max-memory", "use at most `SIZE`, such as 2G; connections beyond that are left out, and the report says so; 0: no limit")
}

// apply has garbage collected more often as the bound comes near.
func (m memory) apply() {
	if m > 0 {
		debug.SetMemoryLimit(int64(m))
	}
}
