package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// confined is run in a process of its own: it opens what a watch has open, gives
// up its rights, and tells what it can still do. Then it waits to be looked at.
func confined() {
	dir := os.Getenv("PROBE")
	in := func(name string) string { return filepath.Join(dir, name) }
	packets, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		fmt.Println("AF_PACKET:", err)
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	threads(8)
	c := confinement{again: []string{in("conf/policy.yaml")}}
	c.inputs([]string{in("keys.log")})
	c.folder(in("saved"))
	s := confineSettings{user: os.Getenv("PROBE_USER")}
	owner, err := s.owner(sandboxAuto)
	if err != nil {
		fmt.Println(err)
		return
	}
	a := app{restrict: restrict}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	if err := a.confine(&c, owner, os.Getenv("PROBE_SANDBOX"), log); err != nil {
		fmt.Println("error:", err)
		return
	}
	threads(8)
	tell := func(what string, err error) {
		word := "may"
		if err != nil {
			word = "may not"
		}
		fmt.Println(word, what)
	}
	read := func(path string) error {
		_, err := os.ReadFile(path)
		return err
	}
	tell("read /etc/passwd", read("/etc/passwd"))
	tell("read the memory of others", read(fmt.Sprintf("/proc/%d/maps", os.Getppid())))
	tell("run a program", exec.Command("/bin/true").Run())
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
	if errno == 0 { // both go on; neither may
		fmt.Println("may make a process")
		return
	}
	tell("make a process", errno)
	tell("trace another", unix.PtraceAttach(os.Getppid()))
	tell("signal another", unix.Kill(os.Getppid(), 0))
	_, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	tell("open a packet socket", err)
	_, err = net.Dial("tcp", listener.Addr().String())
	tell("connect", err)
	_, err = net.Listen("tcp", "127.0.0.1:0")
	tell("listen", err)
	tell("get a capability", capable(cap.NET_RAW))
	_, err = unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	tell("make memory executable", err)
	tell("write elsewhere", os.WriteFile(in("elsewhere"), nil, 0o600))

	_, err = unix.GetsockoptTpacketStats(packets, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	tell("use the packet socket", err)
	tell("bind it anew", unix.Bind(packets, &unix.SockaddrLinklayer{Protocol: 0x0300, Ifindex: 1}))
	_, err = net.Interfaces()
	tell("list interfaces", err)
	tell("save", os.WriteFile(in("saved/new"), []byte("x"), 0o600))
	tell("delete", os.Remove(in("saved/new")))
	tell("read a key log", read(in("keys.log")))
	fmt.Println("listens on", listener.Addr())
	connection, err := listener.Accept()
	tell("accept", err)
	connection.Close()
	tell("read another policy in the place of the first", read(in("conf/policy.yaml")))
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// capable gets a capability.
func capable(c cap.Value) error {
	want := cap.NewSet()
	if err := want.SetFlag(cap.Permitted, true, c); err != nil {
		return err
	}
	return want.SetProc()
}

// threads makes threads that stay.
func threads(n int) {
	up := make(chan bool)
	for range n {
		go func() {
			runtime.LockOSThread()
			up <- true
			select {}
		}()
		<-up
	}
}

// What a confined process can do, whoever it was.
const confinedCan = `may not read /etc/passwd
may not read the memory of others
may not run a program
may not make a process
may not trace another
may not signal another
may not open a packet socket
may not connect
may not listen
may not get a capability
may not make memory executable
may not write elsewhere
may use the packet socket
may bind it anew
may list interfaces
may save
may delete
may read a key log
may accept
may read another policy in the place of the first
`

// TestConfined: however a watch is started, it ends up without rights, and can go
// on with its work. /proc and trying show it.
func TestConfined(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if sandboxVersion() < 6 {
		t.Skipf("Landlock %d cannot do all of it", sandboxVersion())
	}
	const nobody = 65534
	ambient := &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
		AmbientCaps: []uintptr{unix.CAP_NET_RAW},
	}
	file := func(program string) error {
		raw := cap.NewSet()
		if err := errors.Join(raw.SetFlag(cap.Permitted, true, cap.NET_RAW), raw.SetFlag(cap.Effective, true, cap.NET_RAW)); err != nil {
			return err
		}
		return raw.SetFile(program)
	}
	for _, tt := range []struct {
		name, user, sandbox string
		prefix              []string
		attr                *syscall.SysProcAttr
		uid                 int
		bounded             bool // the bounding set could be emptied
		prepare             func(program string) error
		said                string // of the log line
	}{
		{"root", "", sandboxRequired, nil, nil, nobody, true, nil, `level=INFO msg="rights are given up" user=nobody`},
		{"root who becomes somebody", "65534:65534", sandboxRequired, nil, nil, nobody, true, nil, `level=INFO msg="rights are given up" user=65534:65534`},
		{"somebody with a capability", "", sandboxRequired, nil, ambient, nobody, false, nil, `level=INFO msg="rights are given up" user=unchanged`},
		{"somebody, and a file with a capability", "", sandboxRequired, nil, &syscall.SysProcAttr{Credential: ambient.Credential}, nobody, false, file, `level=INFO msg="rights are given up" user=unchanged`},
		{"a container without the capabilities to change", "", sandboxAuto,
			[]string{"setpriv", "--bounding-set=-all,+net_raw"}, nil, 0, false, nil,
			`level=WARN msg="not all rights are given up" user=nobody kept="the groups stay: operation not permitted; the user stays 0: operation not permitted"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startConfined(t, append(tt.prefix, "confined"), tt.attr, tt.uid, tt.prepare, "PROBE_USER="+tt.user, "PROBE_SANDBOX="+tt.sandbox)
			said, can, _ := strings.Cut(c.told, "\n")
			if said != tt.said {
				t.Errorf("said %q, want %q", said, tt.said)
			}
			if can != confinedCan {
				t.Errorf("got:\n%s", can)
			}
			c.check(t, tt.uid, tt.bounded)
		})
	}
}

// TestConfinedRequired: --sandbox required fails where not all can be done.
func TestConfinedRequired(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	c := startConfined(t, []string{"setpriv", "--bounding-set=-all,+net_raw", "confined"}, nil, 0, nil, "PROBE_SANDBOX="+sandboxRequired)
	if !strings.HasPrefix(c.told, "error: --sandbox required: the groups stay: operation not permitted; the user stays 0") {
		t.Error(c.told)
	}
}

// A confinedProcess waits to be looked at; told is what it said.
type confinedProcess struct {
	pid  int
	told string
}

func startConfined(t *testing.T, args []string, attr *syscall.SysProcAttr, uid int, prepare func(program string) error, env ...string) confinedProcess {
	t.Helper()
	dir, err := os.MkdirTemp("", "distproof") // where anybody may look
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"conf", "saved"} {
		if err := os.Mkdir(in(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"keys.log", "conf/policy.yaml", "conf/new"} {
		if err := os.WriteFile(in(name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".", "saved"} {
		if err := os.Chmod(in(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(in(name), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	path, err := exec.LookPath(args[len(args)-1]) // testscript puts it there
	if err != nil {
		t.Fatal(err)
	}
	program := in("confined") // its own folder may be out of reach
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	args[len(args)-1] = program
	if prepare != nil {
		if err := prepare(program); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.SysProcAttr = "/", attr
	cmd.Env = append(append(os.Environ(), "PROBE="+dir), env...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
	})
	p := confinedProcess{pid: cmd.Process.Pid}
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && lines.Text() != "done" {
		address, listens := strings.CutPrefix(lines.Text(), "listens on ")
		if !listens {
			p.told += lines.Text() + "\n"
			continue
		}
		if err := os.Rename(in("conf/new"), in("conf/policy.yaml")); err != nil {
			t.Fatal(err)
		}
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		connection.Close()
	}
	return p
}

// check reads what the kernel says of every thread.
func (p confinedProcess) check(t *testing.T, uid int, bounded bool) {
	t.Helper()
	const none = "0000000000000000"
	want := map[string]string{
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapAmb": none, "NoNewPrivs": "1", "Seccomp": "2",
		"Uid": strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%d\t", uid), 4), "\t"),
	}
	if uid != 0 {
		want["Gid"], want["Groups"] = want["Uid"], ""
	}
	if bounded {
		want["CapBnd"] = none
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", p.pid))
	if err != nil || len(tasks) < 17 {
		t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(line, ":")
			got[name] = strings.TrimSpace(value)
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %q, want %q", task, name, got[name], value)
			}
		}
	}
}
