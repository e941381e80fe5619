//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"distproof/keylog"
)

// keyLogCall is how a node is made to write its key log; the same for users.
// text is the script: it is put into the lab's folder, for the node to read.
func (l *lab) keyLogCall(text, options string) (string, error) {
	path := filepath.Join(l.dir, "distproof_keylog.script")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", err
	}
	return fmt.Sprintf("file:script(%q,[{'Options',#{%s}}]).", path, options), nil
}

// writeKeyLog has a node write all secrets of its connections, of which there
// are so many. What it wrote before is kept.
func (l *lab) writeKeyLog(ctx context.Context, n *node, connections int, file string) error {
	made := filepath.Join(l.dir, l.net.id, "keylog")
	call, err := l.keyLogCall(keylog.Script, fmt.Sprintf("file=>%q,handshake_only=>false", made))
	if err != nil {
		return err
	}
	answer, err := n.ask(ctx, call)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(answer, "{ok,[{") || strings.Count(answer, ",ok,") != connections {
		return fmt.Errorf("the key log script answered %s", answer)
	}
	text, err := os.ReadFile(made)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
