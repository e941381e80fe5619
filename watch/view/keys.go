package view

import "github.com/charmbracelet/bubbles/key"

// keys are what one can press.
type keys struct {
	up, down, pageUp, pageDown, top, bottom                       key.Binding
	open, sort, unsort, reverse, search, clear                    key.Binding
	notMutual, onlyOpen, all, findings, happened, help, quit, end key.Binding
	pause                                                         key.Binding
	back                                                          key.Binding
}

func newKeys() keys {
	bind := func(help, does string, names ...string) key.Binding {
		return key.NewBinding(key.WithKeys(names...), key.WithHelp(help, does))
	}
	return keys{
		up:        bind("↑ k", "up", "up", "k"),
		down:      bind("↓ j", "down", "down", "j"),
		pageUp:    bind("PgUp b", "a page up", "pgup", "b", "ctrl+b"),
		pageDown:  bind("PgDn space", "a page down", "pgdown", " ", "ctrl+f"),
		top:       bind("Home g", "to the first", "home", "g"),
		bottom:    bind("End G", "to the last", "end", "G"),
		open:      bind("Enter", "all that is known of it, with its findings", "enter"),
		sort:      bind("s", "sort by the next column", "s"),
		unsort:    bind("S", "sort by the column before", "S"),
		reverse:   bind("r", "turn the order round", "r"),
		search:    bind("/", "show rows with these words only; !word: without", "/"),
		clear:     bind("Esc", "show all rows again", "esc"),
		notMutual: bind("m", "only what is not mutual TLS", "m"),
		onlyOpen:  bind("o", "only what is up", "o"),
		all:       bind("a", "also what is not between nodes", "a"),
		findings:  bind("f", "findings", "f"),
		happened:  bind("e", "what happened last", "e"),
		help:      bind("?", "this page", "?", "h"),
		back:      bind("q Esc", "back", "q", "esc", "left"),
		quit:      bind("q", "end the watch, with the report", "q"),
		end:       bind("Ctrl-C", "the same, from every page", "ctrl+c"),
		pause:     bind("Ctrl-Z", "stop until fg; packets may be lost meanwhile", "ctrl+z"),
	}
}

// list is what the help page explains.
func (k keys) list() []key.Binding {
	return []key.Binding{
		k.up, k.down, k.pageUp, k.pageDown, k.top, k.bottom, k.open,
		k.sort, k.unsort, k.reverse, k.search, k.clear, k.notMutual, k.onlyOpen, k.all,
		k.findings, k.happened, k.help, k.quit, k.end, k.pause,
	}
}
