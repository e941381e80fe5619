package decode

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"distproof/decode/dist"
	"distproof/decode/secrets"
	"distproof/decode/tcp"
	"distproof/decode/tls"
)

// A shared is what the connections of a shard have in common.
type shared struct {
	// options are those for distribution.
	options dist.Options
	*tables
	*keys // nil if there are none
}

// tables have what is kept once for many connections. A connection has the same from
// its beginning to its end.
type tables struct {
	tcp  tcp.Tables
	dist dist.Tables
	tls  *tls.Tables
}

func newTables() *tables { return &tables{tls: tls.NewTables()} }

func (t *tables) full() bool { return t.tcp.Full() || t.dist.Full() || t.tls.Full() }

// mostOlder is how many tables there may be beside those for new connections.
const mostOlder = 3

// generations are the tables of a decoder. Somebody may bring new values with every
// connection, and a cluster has others after months: once tables are full, new
// connections get new ones. The garbage collector takes tables when none of their
// connections is there any more; as long as too many are still used, the full ones
// have to do. Several goroutines may use them at once.
type generations struct {
	current atomic.Pointer[tables]
	mu      sync.Mutex
	older   []weak.Pointer[tables]
}

func (g *generations) begin() { g.current.Store(newTables()) }

// latest returns the tables for new connections.
func (g *generations) latest() *tables {
	if t := g.current.Load(); !t.full() {
		return t
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.current.Load()
	g.older = slices.DeleteFunc(g.older, func(old weak.Pointer[tables]) bool { return old.Value() == nil })
	if t.full() && len(g.older) < mostOlder {
		g.older = append(g.older, weak.Make(t))
		g.begin()
	}
	return g.current.Load()
}

// keys are a key log, and what waits for secrets from it.
type keys struct {
	log   *secrets.Log
	queue *tls.Queue
}
