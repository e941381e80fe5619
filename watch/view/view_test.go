package view

import (
	"bytes"
	"context"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"distproof/capture/live"
	"distproof/report"
	"distproof/watch"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a screen with that of testdata, without blanks at the ends of
// lines.
func golden(t *testing.T, name, screen string) {
	t.Helper()
	var lines []string
	for l := range strings.SplitSeq(screen, "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	got := []byte(strings.Join(lines, "\n") + "\n")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if the change is meant:\n%s", path, diff)
	}
}

// A screen is a model that is driven by hand, at a time that stands still.
type screen struct {
	t *testing.T
	*model
	at time.Time
}

func newScreen(t *testing.T, s *watch.State, width, height int) *screen {
	t.Helper()
	return newColorScreen(t, s, width, height, false)
}

func newColorScreen(t *testing.T, s *watch.State, width, height int, color bool) *screen {
	t.Helper()
	local := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = local })
	sc := &screen{t: t, model: newModel(newFakeSource(s), Options{Color: color}), at: s.At}
	sc.now = func() time.Time { return sc.at }
	sc.Update(tea.WindowSizeMsg{Width: width, Height: height})
	return sc
}

// press types keys: names as bubbletea has them, or text.
func (s *screen) press(keys ...string) {
	named := map[string]tea.KeyType{
		"enter": tea.KeyEnter, "esc": tea.KeyEsc, "down": tea.KeyDown, "up": tea.KeyUp, "pgdown": tea.KeyPgDown,
		"end": tea.KeyEnd, "home": tea.KeyHome, "backspace": tea.KeyBackspace, "ctrl+u": tea.KeyCtrlU, "ctrl+c": tea.KeyCtrlC,
	}
	for _, k := range keys {
		if kind, ok := named[k]; ok {
			s.Update(tea.KeyMsg{Type: kind})
			continue
		}
		for _, r := range k {
			s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
		}
	}
}

func (s *screen) take(state *watch.State) {
	state.Number = s.state.Number + 1
	s.Update(changedMsg{state})
}

// ids are the keys of the rows that the filter lets pass, in order.
func (s *screen) ids() []string {
	var ids []string
	for _, r := range s.shown {
		ids = append(ids, r.key)
	}
	return ids
}

// fits fails if the screen is not as large as the terminal.
func (s *screen) fits() {
	s.t.Helper()
	lines := strings.Split(s.View(), "\n")
	if len(lines) != s.height {
		s.t.Errorf("%d lines on a screen of %d", len(lines), s.height)
	}
	for _, l := range lines {
		if n := ansi.StringWidth(l); n > s.width {
			s.t.Errorf("%d columns on a screen of %d: %q", n, s.width, l)
		}
	}
}

// troubled is a watch that goes badly, with names that are meant to do harm.
func troubled() *watch.State {
	s := stateOfMany(7)
	s.Document.Connections[3].Client.Node = "evil\x1b[2J\x1b]0;owned\a\r\n@n1.lab"
	s.Document.Connections[3].Reason = "distribution in the clear \u202egnp.exe"
	s.Document.Connections[2].Client = report.Endpoint{Address: "fd00::1", Port: 40001, Host: "n9.lab"}
	s.Document.Connections[2].Server = report.Endpoint{Address: "fd00:1234:5678:9abc:def0:1234:5678:9abc", Port: 9100}
	s.Document.Nodes = []report.Node{{Name: "orders@n1.lab", Addresses: []string{"10.30.0.1"}, Ports: []uint16{9100}}}
	s.Known = []live.Socket{knownSocket("10.30.0.1:9100", "10.30.0.2:40100", 4242), knownSocket("10.30.0.1:40101", "10.30.0.3:9100", 4242)}
	s.Listeners = []live.Socket{{Local: s.Known[0].Local, Listening: true, Process: s.Known[0].Process}}
	s.Interfaces = []live.InterfaceState{{Name: "eth0", Up: true}, {Name: "vethab12", Vanished: 2}}
	s.Dropped = 1234
	s.Blind = "no packet for 1m0s, although the kernel has traffic on eth0\x1b[31m"
	s.PolicyError = "policy.yaml:3: unknown key \"requires\""
	return s
}

// mistyped is a watch of an interface that there is not.
func mistyped() *watch.State {
	s := stateOfMany(0)
	s.Interfaces = []live.InterfaceState{{Name: "etho", Missing: "no such interface; did you mean eth0?"}}
	return s
}

func TestScreens(t *testing.T) {
	tests := []struct {
		name          string
		state         *watch.State
		width, height int
		keys          []string
	}{
		{"empty-80x24", stateOfMany(0), 80, 24, nil},
		{"mistyped-80x24", mistyped(), 80, 24, nil},
		{"three-80x24", stateOfMany(3), 80, 24, nil},
		{"three-200x50", stateOfMany(3), 200, 50, nil},
		{"many-80x24", stateOfMany(3000), 80, 24, []string{"pgdown", "down"}},
		{"many-200x50", stateOfMany(3000), 200, 50, []string{"end"}},
		{"trouble-80x24", troubled(), 80, 24, nil},
		{"trouble-200x50", troubled(), 200, 50, nil},
		{"trouble-60x12", troubled(), 60, 12, nil},
		{"filter-80x24", stateOfMany(3000), 80, 24, []string{"o/orders !1.2", "enter"}},
		{"typing-80x24", stateOfMany(3000), 80, 24, []string{"/orders nothing"}},
		{"connection-80x24", stateOfMany(30), 80, 24, []string{"enter"}},
		{"known-80x24", troubled(), 80, 24, []string{"/not seen !c6", "enter", "enter"}},
		{"findings-80x24", stateOfMany(30), 80, 24, []string{"f", "down"}},
		{"finding-80x24", stateOfMany(30), 80, 24, []string{"f", "down", "enter"}},
		{"help-80x50", stateOfMany(3), 80, 50, []string{"?"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScreen(t, tt.state, tt.width, tt.height)
			s.press(tt.keys...)
			s.fits()
			golden(t, tt.name+".txt", s.View())
		})
	}
}

// Colours repeat what the words say.
func TestColor(t *testing.T) {
	s := newColorScreen(t, troubled(), 80, 24, true)
	s.fits()
	golden(t, "color-80x24.txt", s.View())
	plain := newScreen(t, troubled(), 80, 24)
	if got := ansi.Strip(s.View()); got != plain.View() {
		t.Error(cmp.Diff(plain.View(), got))
	}
	if strings.Contains(plain.View(), "\x1b") {
		t.Error("control characters without colour")
	}
}

// Whatever the size, nothing is drawn beyond the terminal, on no page.
func TestAnySizeFits(t *testing.T) {
	for _, state := range []*watch.State{stateOfMany(0), stateOfMany(40), troubled()} {
		for _, size := range [][2]int{{1, 1}, {2, 30}, {10, 5}, {30, 3}, {39, 13}, {80, 15}, {81, 24}, {109, 14}, {133, 40}, {300, 90}} {
			s := newScreen(t, state, size[0], size[1])
			s.Update(noteMsg{Time: state.At, Severity: "critical", Text: strings.Repeat("long ", 100)})
			for _, keys := range []string{"", "/x", "f", "e", "?"} {
				s.press(keys)
				s.fits()
				s.press("esc")
			}
			for range 3 {
				s.press("enter")
				s.fits()
			}
		}
	}
}

// On another size the cursor stays on its row, and on the screen.
func TestResize(t *testing.T) {
	s := newScreen(t, stateOfMany(3000), 80, 50)
	s.press("pgdown", "pgdown", "down")
	selected := s.selected
	for _, size := range [][2]int{{80, 24}, {200, 50}, {40, 8}, {80, 24}} {
		s.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		s.fits()
		if s.selected != selected {
			t.Fatalf("the cursor is on %s, not %s", s.selected, selected)
		}
		if !strings.Contains(s.View(), "\n>") {
			t.Errorf("no cursor on %v", size)
		}
	}
}

// A row that changed is marked, and not for ever; the rows around it stay.
func TestChangedRowsAreMarked(t *testing.T) {
	s := newScreen(t, stateOfMany(3), 80, 24)
	if strings.Contains(s.View(), "\n *") || strings.Contains(s.View(), "\n>+") {
		t.Errorf("marked at the beginning:\n%s", s.View())
	}
	next := stateOfMany(4)
	*next.Document.Connections[0].Verdict = "cleartext"
	s.take(next)
	golden(t, "changed-80x24.txt", s.View())
	s.at = s.at.Add(markedFor - time.Millisecond)
	s.Update(fadeMsg{})
	if len(s.marks) != 2 {
		t.Errorf("%d marks", len(s.marks))
	}
	s.at = s.at.Add(time.Millisecond)
	if _, cmd := s.Update(fadeMsg{}); cmd != nil {
		t.Error("the clock goes on without need")
	}
	if len(s.marks) != 0 {
		t.Errorf("%d marks", len(s.marks))
	}
}

// The rate of a connection is no change that is worth a mark.
func TestRateIsNotMarked(t *testing.T) {
	s := newScreen(t, stateOfMany(3), 80, 24)
	next := stateOfMany(3)
	next.Activity[0].Rate++
	s.take(next)
	if len(s.marks) != 0 {
		t.Errorf("%v", s.marks)
	}
}

// The cursor stays on its row when others come before it, and at the top as long
// as nobody moved it.
func TestCursorStaysOnItsRow(t *testing.T) {
	s := newScreen(t, stateOfMany(3), 80, 24)
	worst := s.selected
	s.take(stateOfMany(4)) // c4 is in the clear
	if s.selected != "c4" || worst == "c4" {
		t.Errorf("the cursor is on %s and was on %s", s.selected, worst)
	}
	s.press("down")
	selected := s.selected
	s.take(stateOfMany(40))
	if s.selected != selected {
		t.Errorf("the cursor is on %s, not %s", s.selected, selected)
	}
	if s.list.at == 1 {
		t.Error("nothing came before the row")
	}
	gone := stateOfMany(0)
	s.take(gone)
	s.fits()
	s.press("enter", "down", "up")
	s.fits()
}

func TestOrders(t *testing.T) {
	s := newScreen(t, stateOfMany(8), 80, 24)
	seen := map[string]bool{}
	for range orders() {
		ids := strings.Join(s.ids(), " ")
		if len(s.ids()) != 8 {
			t.Fatal(ids)
		}
		seen[ids] = true
		s.press("r")
		reversed := s.ids()
		slices.Reverse(reversed)
		if strings.Join(reversed, " ") != ids {
			t.Errorf("%s: reversed %v, before %s", orders()[s.order].name, reversed, ids)
		}
		s.press("r")
		s.press("s")
	}
	if len(seen) < len(orders())-2 {
		t.Errorf("only %d orders of %d", len(seen), len(orders()))
	}
	if s.order != 0 {
		t.Error("the orders do not come round")
	}
	if got := s.ids()[0]; got != "c4" {
		t.Errorf("%s is first, not what is in the clear", got)
	}
	s.press("S")
	if orders()[s.order].name != "process" {
		t.Error(orders()[s.order].name)
	}
}

func TestFilters(t *testing.T) {
	tests := []struct {
		keys []string
		want string
	}{
		{nil, "c4 c3 c6 c5 c2 c8 c1 c7"},
		{[]string{"m"}, "c4 c3 c6 c5"},
		{[]string{"o"}, "c4 c3 c6 c2 c8 c1"},
		{[]string{"mo"}, "c4 c3 c6"},
		{[]string{"mo", "esc"}, "c4 c3 c6 c5 c2 c8 c1 c7"},
		{[]string{"/ONE-way", "enter"}, "c3"},
		{[]string{"/stalled"}, "c2"},
		{[]string{"/mutual !stalled"}, "c8 c1 c7"},
		{[]string{"/mutual !"}, "c2 c8 c1 c7"},
		{[]string{"/DP101"}, "c4"},
		{[]string{"/10.30.0.1:"}, "c1"},
		{[]string{"/beam.smp 1202"}, "c3"},
		{[]string{"/nobody"}, ""},
		{[]string{"/nobody", "backspace", "backspace", "backspace", "backspace", "backspace", "backspace"}, "c4 c3 c6 c5 c2 c8 c1 c7"},
		{[]string{"/nobody", "ctrl+u", "c7", "enter"}, "c7"},
		{[]string{"/nobody", "esc"}, "c4 c3 c6 c5 c2 c8 c1 c7"},
	}
	for _, tt := range tests {
		state := stateOfMany(8)
		state.Activity[0].Stalled, state.Activity[7] = false, state.Activity[0]
		state.Document.Connections[7].Verdict = state.Document.Connections[0].Verdict
		s := newScreen(t, state, 80, 24)
		s.press(tt.keys...)
		if got := strings.Join(s.ids(), " "); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.keys, got, tt.want)
		}
	}
}

// What is not between nodes shows if it is asked for.
func TestOthers(t *testing.T) {
	state := stateOfMany(3)
	state.Document.Connections[1].Verdict, state.Document.Connections[1].Protocol = nil, "tls"
	s := newScreen(t, state, 80, 24)
	if len(s.shown) != 2 || strings.Contains(s.View(), "(tls)") {
		t.Errorf("%v", s.ids())
	}
	s.press("a")
	if len(s.shown) != 3 || !strings.Contains(s.View(), "(tls)") {
		t.Errorf("%v", s.ids())
	}
}

// A message that begins with the title of its rule needs no title.
func TestTitleIsNotRepeated(t *testing.T) {
	state := stateOfMany(0)
	state.Document.Findings = []report.Finding{{Rule: "DP301", Severity: "medium", Title: "nothing to verify", Message: "nothing to verify: no connection came up", Status: "open"}}
	s := newScreen(t, state, 80, 24)
	s.press("f")
	if got := s.View(); strings.Count(got, "nothing to verify") != 1 {
		t.Error(got)
	}
}

// What is open on a page changes with the connection, and says so if that is gone.
func TestConnectionPageFollows(t *testing.T) {
	s := newScreen(t, stateOfMany(3), 80, 24)
	s.press("enter")
	if !strings.Contains(s.View(), "one-way") {
		t.Fatal(s.View())
	}
	next := stateOfMany(3)
	*next.Document.Connections[2].Verdict = "inconclusive"
	s.take(next)
	if !strings.Contains(s.View(), "inconclusive") {
		t.Error(s.View())
	}
	s.take(stateOfMany(2))
	if !strings.Contains(s.View(), "It is over") {
		t.Error(s.View())
	}
	s.press("q")
	if s.page != pageList {
		t.Error("q does not go back")
	}
}

// q and Ctrl-C end the view.
func TestEnd(t *testing.T) {
	quits := func(s *screen, msg tea.KeyMsg) bool {
		_, cmd := s.Update(msg)
		if cmd == nil {
			return false
		}
		_, quit := cmd().(tea.QuitMsg)
		return quit
	}
	q, end := tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("q")}, tea.KeyMsg{Type: tea.KeyCtrlC}
	s := newScreen(t, stateOfMany(3), 80, 24)
	if !quits(s, q) {
		t.Error("q does not end it")
	}
	for _, before := range []string{"", "/", "?", "f"} {
		s := newScreen(t, stateOfMany(3), 80, 24)
		s.press(before)
		if !quits(s, end) {
			t.Errorf("Ctrl-C does not end it after %q", before)
		}
		if before != "" && quits(s, q) {
			t.Errorf("q ends it after %q", before)
		}
	}
}

// Ctrl-Z stops the program on every page, as the shell's job control expects.
func TestStop(t *testing.T) {
	for _, before := range []string{"", "/", "?", "f"} {
		s := newScreen(t, stateOfMany(3), 80, 24)
		s.press(before)
		_, cmd := s.Update(tea.KeyMsg{Type: tea.KeyCtrlZ})
		if cmd == nil {
			t.Errorf("Ctrl-Z does nothing after %q", before)
		} else if _, stops := cmd().(tea.SuspendMsg); !stops {
			t.Errorf("Ctrl-Z does not stop it after %q", before)
		}
	}
}

// Keys that are typed fast come together.
func TestFastKeys(t *testing.T) {
	s := newScreen(t, stateOfMany(8), 80, 24)
	s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("jjk/c7")})
	if s.list.at != 0 || !s.searching || s.filter.text != "c7" {
		t.Errorf("at %d, searching %v for %q", s.list.at, s.searching, s.filter.text)
	}
	s.press("esc", "?")
	if _, cmd := s.Update(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("qq")}); cmd == nil {
		t.Error("qq does not go back and end it")
	}
}

func TestHappened(t *testing.T) {
	s := newScreen(t, stateOfMany(3), 80, 24)
	for i := range maxNotes + 10 {
		s.Update(noteMsg{Time: began.Add(time.Duration(i) * time.Second), Severity: "info", Text: "closed\x1b[2J"})
	}
	s.Update(noteMsg{Time: s.at, Severity: "critical", Text: "c4 is in the clear"})
	if !strings.Contains(s.View(), "08:08:03 critical c4 is in the clear") {
		t.Error(s.View())
	}
	if len(s.happened) != maxNotes {
		t.Errorf("%d notes are kept", len(s.happened))
	}
	s.press("e")
	lines := strings.Split(s.View(), "\n")
	if !strings.Contains(lines[1], "c4 is in the clear") || !strings.Contains(lines[2], `closed\x1b[2J`) {
		t.Error(s.View())
	}
}

// A program on a terminal that is none ends with its context, and has drawn.
func TestRunEndsWithItsContext(t *testing.T) {
	for _, ended := range []string{"context", "key"} {
		t.Run(ended, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			var out bytes.Buffer
			go func() { done <- Run(ctx, newFakeSource(stateOfMany(3)), Options{In: r, Out: &out}) }()
			if ended == "context" {
				cancel()
			} else {
				w.WriteString("q")
			}
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it does not end")
			}
		})
	}
}

// A connection within this host has two sockets, and one row: from the end that
// dialled to the listener.
func TestKnownWithinAHost(t *testing.T) {
	for _, listens := range []bool{false, true} {
		state := stateOfMany(0)
		server, client := "127.0.0.1:9100", "127.0.0.1:40100"
		state.Known = []live.Socket{knownSocket(server, client, 1), knownSocket(client, server, 2)}
		if listens {
			state.Listeners = []live.Socket{{Local: netip.MustParseAddrPort("[::]:9100"), Listening: true}}
		}
		s := newScreen(t, state, 80, 24)
		if len(s.shown) != 1 {
			t.Fatalf("%v", s.ids())
		}
		if w := s.shown[0].words; listens && (w.Client != client || w.Server != server || s.shown[0].activity.Process.ID != 2) {
			t.Errorf("%+v of %+v", w, s.shown[0].activity.Process)
		}
		if !strings.Contains(s.View(), "open      1: 1 not seen") {
			t.Error(s.View())
		}
	}
}
