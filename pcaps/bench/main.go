//go:build linux

// Command bench makes large captures out of the small real ones in this folder's
// parent, and measures distproof with them against other tools.
//
//	go run ./pcaps/bench list
//	go run ./pcaps/bench generate -scale 0.1 -o /tmp/bulk.pcap bulk
//	go run ./pcaps/bench generate -o - many | distproof verify -
//	go run ./pcaps/bench measure -scale 0.1
//	go run ./pcaps/bench load -scale 0.1
//
// The captures are the same every time, byte for byte. Addresses, ports,
// sequence numbers and times are made up; what nodes said in their handshakes,
// calls and ticks is real, and checksums are right.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
)

const usage = `usage: bench list
       bench generate [-scale N] [-from DIR] [-o FILE|-] KIND
       bench measure [-scale N] [-from DIR] [-distproof FILE] [-runs N] [KIND...]
       bench load [-scale N] [-from DIR] [-distproof FILE] [-command NAME] [-rates LIST] [-buffer MIB] [-alone] [KIND...]`

func main() {
	err := run(os.Args[1:], os.Stdout)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "list":
		for _, k := range kinds {
			fmt.Fprintf(w, "%-6s %s\n", k.name, k.story)
		}
		return nil
	case "generate":
		return generate(args[1:], w)
	case "measure":
		return measure(args[1:], w)
	case "load":
		return load(args[1:], w)
	}
	return fmt.Errorf("unknown command %q\n%s", args[0], usage)
}

// common are the flags of generate and measure.
type common struct {
	scale float64
	from  string
}

func (c *common) flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.Float64Var(&c.scale, "scale", 1, "factor by which the capture is larger or smaller")
	f.StringVar(&c.from, "from", "pcaps", "folder of the real captures")
	return f
}

func generate(args []string, stdout io.Writer) error {
	var c common
	flags := c.flags("generate")
	out := flags.String("o", "-", "where the capture is written; - is standard output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New(usage)
	}
	k, err := kindOf(flags.Arg(0))
	if err != nil {
		return err
	}
	if *out == "-" {
		return k.write(stdout, c)
	}
	return k.writeFile(*out, c)
}

func kindOf(name string) (kind, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })
	if i < 0 {
		return kind{}, fmt.Errorf("unknown kind %q; see bench list", name)
	}
	return kinds[i], nil
}

// write makes the capture.
func (k kind) write(out io.Writer, c common) error {
	t, err := loadTemplates(c.from)
	if err != nil {
		return err
	}
	w := newWriter(out)
	_, err = k.make(w, t, c.scale)
	return errors.Join(err, w.close())
}

func (k kind) writeFile(path string, c common) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(k.write(f, c), f.Close())
}
