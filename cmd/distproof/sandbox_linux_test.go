package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// probe is run in a process of its own: it locks itself down to the folder
// $PROBE, and tells what it can still do.
func probe() {
	dir := os.Getenv("PROBE")
	in := func(name string) string { return filepath.Join(dir, name) }
	var box sandbox
	box.inputs([]string{in("read/a"), in("folder")})
	box.outputs(outputs{{"json", in("out/report.json")}, {"table", "/dev/null"}})
	box.folder(in("evidence"))
	if err := restrict(&box, true); err != nil {
		fmt.Println(err)
		return
	}
	read := func(name string) error {
		f, err := os.Open(in(name))
		if err == nil {
			f.Close()
		}
		return err
	}
	write := func(path string) error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
		if err == nil {
			f.Close()
		}
		return err
	}
	tell := func(what string, err error) {
		word := "may"
		if err != nil {
			word = "may not"
		}
		fmt.Println(word, what)
	}
	tell("read an input", read("read/a"))
	tell("read below a folder", read("folder/sub/b"))
	tell("read a link's target", read("folder/link"))
	tell("read beside an input", read("read/secret"))
	tell("read /etc/passwd", read("/../../../../../../../../etc/passwd"))
	tell("write an input", write(in("read/a")))
	tell("write an output", write(in("out/report.json.tmp")))
	tell("replace an output", os.Rename(in("out/report.json.tmp"), in("out/report.json")))
	tell("write a device", write("/dev/null"))
	tell("read beside an output", read("out/other"))
	tell("make a folder of evidence", os.Mkdir(in("evidence/stage"), 0o777))
	tell("move evidence", os.Rename(in("evidence/stage"), in("evidence/whole")))
	tell("write elsewhere", write(in("elsewhere")))
	tell("run a program", exec.Command("/bin/true").Run())
	_, err := net.Dial("tcp", "127.0.0.1:1")
	tell("use the network", errUnlessRefused(err))
}

// errUnlessRefused is nil if the kernel tried to connect.
func errUnlessRefused(err error) error {
	if err != nil && strings.Contains(err.Error(), "refused") {
		return nil
	}
	return err
}

// TestLockedDown: what is not needed cannot be done any more.
func TestLockedDown(t *testing.T) {
	version := sandboxVersion()
	if version < 3 {
		t.Skipf("Landlock %d cannot do all of it", version)
	}
	dir := t.TempDir()
	for _, name := range []string{"read/a", "read/secret", "folder/sub/b", "out/other", "evidence/.keep", "away/target"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(dir, "away", "target"), filepath.Join(dir, "folder", "link")); err != nil {
		t.Fatal(err)
	}
	path, err := exec.LookPath("probe") // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	cmd.Env = append(os.Environ(), "PROBE="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	network := "may not use the network\n"
	if version < 4 {
		network = "may use the network\n"
	}
	const want = `may read an input
may read below a folder
may read a link's target
may not read beside an input
may not read /etc/passwd
may not write an input
may write an output
may replace an output
may write a device
may read beside an output
may make a folder of evidence
may move evidence
may not write elsewhere
may not run a program
`
	if got := string(out); got != want+network {
		t.Errorf("got:\n%s", got)
	}
}
