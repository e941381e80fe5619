package decode

import (
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

// tables have what is kept once for many connections.
type tables struct {
	tcp  tcp.Tables
	dist dist.Tables
	tls  *tls.Tables
}

func newTables() *tables { return &tables{tls: tls.NewTables()} }

// keys are a key log, and what waits for secrets from it.
type keys struct {
	log   *secrets.Log
	queue *tls.Queue
}
