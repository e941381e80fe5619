// Package keylog holds the Erlang script with which a running node writes the
// key log of its distribution connections. See docs/keylog.md.
package keylog

import _ "embed"

// Script is for file:script/2 on the node; its first lines say how.
//
//go:embed distproof_keylog.script
var Script string
