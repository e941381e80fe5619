package view

import (
	"slices"
	"time"

	"github.com/charmbracelet/bubbles/key"
	"github.com/charmbracelet/bubbles/viewport"
	tea "github.com/charmbracelet/bubbletea"

	"distproof/report"
	"distproof/watch"
)

// markedFor is how long a row that changed is marked.
const markedFor = 5 * time.Second

// maxNotes is how much of what happened is kept.
const maxNotes = 500

// A page is what the screen shows.
type page int

const (
	pageList page = iota
	pageConnection
	pageFindings
	pageFinding
	pageHappened
	pageHelp
)

// model is the state of the screen.
type model struct {
	src     Source
	notes   <-chan Note
	now     func() time.Time
	color   bool
	palette palette
	keys    keys

	width, height int
	page          page

	state *watch.State
	rows  []row
	shown []*row
	// looks has what rows looked like last, and marks until when they are marked
	// as changed, or as new.
	looks map[string]look
	marks map[string]mark
	// fading says that a message will come when a mark fades.
	fading bool

	filter    filter
	searching bool
	order     int
	reverse   bool
	list      selection
	selected  string // the key of the row that the list's cursor is on

	findings selection
	// worstFindings are those of the document, the worst first.
	worstFindings []*report.Finding
	pager         viewport.Model
	of            string // the key of the row that the pager is about
	happened      []Note
}

// A mark says that a row is new, or changed.
type mark struct {
	new   bool
	until time.Time
}

type (
	changedMsg struct{ state *watch.State }
	noteMsg    Note
	fadeMsg    struct{}
)

func newModel(src Source, o Options) *model {
	m := &model{
		src: src, notes: o.Notes, now: time.Now, color: o.Color, palette: newPalette(o.Color), keys: newKeys(),
		looks: map[string]look{}, marks: map[string]mark{}, pager: viewport.New(0, 0),
	}
	m.take(src.State())
	return m
}

// Init implements [tea.Model].
func (m *model) Init() tea.Cmd { return tea.Batch(m.awaitChange(), m.awaitNote()) }

// awaitChange waits for a State that is newer than that which is shown.
func (m *model) awaitChange() tea.Cmd {
	src, shown := m.src, m.state.Number
	return func() tea.Msg {
		for {
			changed := src.Changed()
			if s := src.State(); s.Number != shown {
				return changedMsg{s}
			}
			<-changed
		}
	}
}

func (m *model) awaitNote() tea.Cmd {
	notes := m.notes
	if notes == nil {
		return nil
	}
	return func() tea.Msg {
		if n, more := <-notes; more {
			return noteMsg(n)
		}
		return nil
	}
}

// fade asks for a message when the next mark fades, if there is one.
func (m *model) fade() tea.Cmd {
	if m.fading || len(m.marks) == 0 {
		return nil
	}
	var next time.Time
	for _, k := range m.marks {
		if next.IsZero() || k.until.Before(next) {
			next = k.until
		}
	}
	m.fading = true
	// A mark may stay a little longer: rows that change together fade together.
	const together = 250 * time.Millisecond
	return tea.Tick(next.Sub(m.now())+together, func(time.Time) tea.Msg { return fadeMsg{} })
}

// Update implements [tea.Model].
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.fillPager(false)
		m.keepInSight()
	case changedMsg:
		m.take(msg.state)
		return m, tea.Batch(m.awaitChange(), m.fade())
	case noteMsg:
		m.happened = append(m.happened, Note(msg))
		if extra := len(m.happened) - maxNotes; extra > 0 {
			m.happened = slices.Delete(m.happened, 0, extra)
		}
		m.fillPager(false)
		return m, m.awaitNote()
	case fadeMsg:
		m.fading = false
		now := m.now()
		for k, mark := range m.marks {
			if !mark.until.After(now) {
				delete(m.marks, k)
			}
		}
		return m, m.fade()
	case tea.KeyMsg:
		return m, m.pressAll(msg)
	}
	return m, nil
}

// pressAll takes apart what was typed so fast that it came as one.
func (m *model) pressAll(msg tea.KeyMsg) tea.Cmd {
	if msg.Type != tea.KeyRunes || msg.Paste || len(msg.Runes) < 2 {
		return m.press(msg)
	}
	for _, r := range msg.Runes {
		if cmd := m.press(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}}); cmd != nil {
			return cmd
		}
	}
	return nil
}

// take shows another State.
func (m *model) take(s *watch.State) {
	first := m.state == nil
	m.state, m.rows = s, rowsOf(s)
	looks := make(map[string]look, len(m.rows))
	until := m.now().Add(markedFor)
	for i := range m.rows {
		r := &m.rows[i]
		looks[r.key] = r.look()
		before, known := m.looks[r.key]
		if !first && (!known || before != looks[r.key]) {
			m.marks[r.key] = mark{new: !known, until: until}
		}
	}
	for k := range m.marks {
		if _, there := looks[k]; !there {
			delete(m.marks, k)
		}
	}
	m.looks = looks
	m.choose()
	was := m.finding()
	m.worstFindings = worstFindings(s.Document)
	m.findings.count = len(m.worstFindings)
	m.findings.follow(slices.IndexFunc(m.worstFindings, func(f *report.Finding) bool { return was != nil && sameFinding(f, was) }))
	m.fillPager(false)
	m.keepInSight()
}

// choose applies filter and order. The cursor stays on its row, and the row where
// it is on the screen.
func (m *model) choose() {
	m.shown = choose(m.rows, m.filter, orders()[m.order], m.reverse)
	m.list.count = len(m.shown)
	m.list.follow(slices.IndexFunc(m.shown, func(r *row) bool { return r.key == m.selected }))
	m.keepInSight()
}

// keepInSight scrolls so that the cursors are on the screen.
func (m *model) keepInSight() {
	m.list.keep(m.listHeight())
	m.findings.keep(m.pageHeight())
	m.selected = ""
	if m.list.at < len(m.shown) {
		m.selected = m.shown[m.list.at].key
	}
}

// press does what a key asks for.
func (m *model) press(msg tea.KeyMsg) tea.Cmd {
	switch {
	case key.Matches(msg, m.keys.end):
		return tea.Quit
	case key.Matches(msg, m.keys.pause):
		return tea.Suspend
	case m.searching:
		m.typeWord(msg)
	case m.page == pageList:
		return m.pressInList(msg)
	case key.Matches(msg, m.keys.back):
		m.goBack()
	case m.page == pageFindings:
		m.pressInFindings(msg)
	default:
		m.pressInPager(msg)
	}
	return nil
}

func (m *model) goBack() {
	if m.page == pageFinding {
		m.page = pageFindings
		return
	}
	m.page = pageList
}

// maxTyped is how long the words to search for may be.
const maxTyped = 200

// typeWord edits the words to search for; the rows follow at once.
func (m *model) typeWord(msg tea.KeyMsg) {
	text := []rune(m.filter.text)
	switch msg.Type {
	case tea.KeyEnter:
		m.searching = false
	case tea.KeyEsc:
		m.searching, text = false, nil
	case tea.KeyBackspace:
		text = text[:max(len(text)-1, 0)]
	case tea.KeyCtrlU:
		text = nil
	case tea.KeyRunes, tea.KeySpace:
		text = append(text, msg.Runes...)
	}
	m.filter.text = string(text[:min(len(text), maxTyped)])
	m.choose()
}

func (m *model) pressInList(msg tea.KeyMsg) tea.Cmd {
	k := m.keys
	switch {
	case key.Matches(msg, k.quit):
		return tea.Quit
	case m.list.move(msg, k, m.listHeight()):
		m.keepInSight()
	case key.Matches(msg, k.sort):
		m.sort(1)
	case key.Matches(msg, k.unsort):
		m.sort(-1)
	case key.Matches(msg, k.reverse):
		m.reverse = !m.reverse
		m.choose()
	case key.Matches(msg, k.search):
		m.searching = true
	case key.Matches(msg, k.clear):
		m.filter = filter{all: m.filter.all}
		m.choose()
	case key.Matches(msg, k.notMutual):
		m.filter.notMutual = !m.filter.notMutual
		m.choose()
	case key.Matches(msg, k.onlyOpen):
		m.filter.onlyOpen = !m.filter.onlyOpen
		m.choose()
	case key.Matches(msg, k.all):
		m.filter.all = !m.filter.all
		m.choose()
	case key.Matches(msg, k.open) && m.selected != "":
		m.of = m.selected
		m.turnTo(pageConnection)
	case key.Matches(msg, k.findings):
		m.page = pageFindings
		m.keepInSight()
	case key.Matches(msg, k.happened):
		m.turnTo(pageHappened)
	case key.Matches(msg, k.help):
		m.turnTo(pageHelp)
	}
	return nil
}

// sort takes the next order, or the one before.
func (m *model) sort(step int) {
	n := len(orders())
	m.order = (m.order + step + n) % n
	m.choose()
}

func (m *model) pressInFindings(msg tea.KeyMsg) {
	switch {
	case m.findings.move(msg, m.keys, m.pageHeight()):
		m.findings.keep(m.pageHeight())
	case key.Matches(msg, m.keys.open) && m.findings.at < m.findings.count:
		m.turnTo(pageFinding)
	}
}

func (m *model) pressInPager(msg tea.KeyMsg) {
	k := m.keys
	switch {
	case key.Matches(msg, k.up):
		m.pager.ScrollUp(1)
	case key.Matches(msg, k.down):
		m.pager.ScrollDown(1)
	case key.Matches(msg, k.pageUp):
		m.pager.PageUp()
	case key.Matches(msg, k.pageDown):
		m.pager.PageDown()
	case key.Matches(msg, k.top):
		m.pager.GotoTop()
	case key.Matches(msg, k.bottom):
		m.pager.GotoBottom()
	}
}

// turnTo opens a page of text.
func (m *model) turnTo(p page) {
	m.page = p
	m.fillPager(true)
	m.pager.GotoTop()
}

// A selection is a cursor in a list that may be longer than the screen.
type selection struct {
	count, at, top int
	// moved says that somebody chose: until then the cursor stays at the top.
	moved bool
}

// move moves the cursor if the key is one for that.
func (s *selection) move(msg tea.KeyMsg, k keys, height int) bool {
	to := s.at
	switch {
	case key.Matches(msg, k.up):
		to--
	case key.Matches(msg, k.down):
		to++
	case key.Matches(msg, k.pageUp):
		to -= max(height-1, 1)
	case key.Matches(msg, k.pageDown):
		to += max(height-1, 1)
	case key.Matches(msg, k.top):
		to = 0
	case key.Matches(msg, k.bottom):
		to = s.count - 1
	default:
		return false
	}
	s.at = max(min(to, s.count-1), 0)
	s.moved = s.at > 0
	return true
}

// keep has the cursor on the screen, and no blank lines below the last row if
// there are rows above the first.
func (s *selection) keep(height int) {
	s.at = max(min(s.at, s.count-1), 0)
	s.top = min(s.top, s.at, max(s.count-height, 0))
	s.top = max(s.top, s.at-height+1, 0)
}

// follow moves the cursor to where its row is now, if that is not -1, and the row
// not on the screen.
func (s *selection) follow(i int) {
	if i < 0 || !s.moved {
		return
	}
	s.top += i - s.at
	s.at = i
}

// finding is that which the cursor of the list of findings is on; nil if there is
// none.
func (m *model) finding() *report.Finding {
	if m.findings.at < len(m.worstFindings) {
		return m.worstFindings[m.findings.at]
	}
	return nil
}

func worstFindings(doc *report.Document) []*report.Finding {
	var out []*report.Finding
	for i := range doc.Findings {
		out = append(out, &doc.Findings[i])
	}
	slices.SortStableFunc(out, func(a, b *report.Finding) int {
		return slices.Index(report.SeverityWords(), a.Severity) - slices.Index(report.SeverityWords(), b.Severity)
	})
	return out
}

// sameFinding reports whether two findings of different States are about the same.
func sameFinding(a, b *report.Finding) bool {
	return a.Rule == b.Rule && a.Message == b.Message && slices.Equal(a.Connections[:min(1, len(a.Connections))], b.Connections[:min(1, len(b.Connections))])
}
