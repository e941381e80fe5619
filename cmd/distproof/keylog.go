package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"distproof/decode/secrets"
)

// readKeyLogs reads the files of --keylog; nil if there are none. Lines that are
// no part of a key log are told, and do no harm.
func (a *app) readKeyLogs(paths []string, o secrets.Options) (*secrets.Log, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	log := new(secrets.Log)
	for _, path := range paths {
		stats, err := readKeyLog(log, path, o)
		if err != nil {
			return nil, err
		}
		if stats.Bad > 0 {
			fmt.Fprintf(a.stderr, "%s: line %d is not of a key log: %s (%d such lines)\n", oneLine(path), stats.FirstBad, stats.Reason, stats.Bad)
		}
	}
	return log, nil
}

func readKeyLog(log *secrets.Log, path string, o secrets.Options) (secrets.Stats, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secrets.Stats{}, usagef("", "--keylog %s: no such file", path)
	}
	if err != nil {
		return secrets.Stats{}, usagef("", "--keylog: %v", err)
	}
	defer file.Close()
	stats, err := log.Read(file, o)
	switch {
	case err != nil:
		return stats, usagef("", "--keylog %s: %v", path, err)
	case stats.Secrets+stats.Duplicates+stats.Withheld+stats.Ignored == 0:
		return stats, usagef("a key log has lines like CLIENT_HANDSHAKE_TRAFFIC_SECRET <random> <secret>", "--keylog %s: no secret found", path)
	}
	return stats, nil
}
