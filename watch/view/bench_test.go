package view

import (
	"testing"

	tea "github.com/charmbracelet/bubbletea"
)

// A State of 3,000 connections, and a screen of it.
func BenchmarkRefresh(b *testing.B) {
	states := []*fakeSource{newFakeSource(stateOfMany(3000)), newFakeSource(stateOfMany(3000))}
	m := newModel(states[0], Options{Color: true})
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 50})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s := *states[i%2].State()
		s.Number = uint64(i + 2)
		m.Update(changedMsg{&s})
		_ = m.View()
	}
}
