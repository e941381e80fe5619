//go:build linux && lab

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const unit = "distproof-watch"

// TestWatchUnit: systemd starts the service of deploy/, with all that it takes from
// it. It captures and serves, reads its policy again, goes on after it was killed,
// keeps what it saved, and ends when it is told to. `make labtest` runs it.
func TestWatchUnit(t *testing.T) {
	t.Parallel()
	l := newRecordLab(t, testPKI(t, need{"systemd-nspawn", "systemd-container"}, need{"nsenter", "util-linux"}, need{"bash", "bash"}))
	m := boot(t, l.net.namespace(1), buildProgram(t))

	m.policy("version: 1\n")
	m.run("systemctl", "start", unit)
	m.until("/healthz", "ok\n")
	status := m.run("bash", "-c", `cat /proc/"$(systemctl show -P MainPID `+unit+`)"/status`)
	for _, want := range []string{`CapEff:\t0+\n`, `CapPrm:\t0+\n`, `CapAmb:\t0+\n`, `NoNewPrivs:\t1\n`, `Seccomp:\t2\n`, `Uid:\t6\d{4}\t`} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("%s is not in %s", want, status)
		}
	}
	if log := m.run("journalctl", "-u", unit); !strings.Contains(log, `msg="rights are given up"`) {
		t.Errorf("not all rights are given up: %s", log)
	}

	server := nodeSpec{name: "billing", host: 2, tls: both(2, "1.3")}
	l.connect(t, clientSpec{nodeSpec{name: "orders", host: 1, tls: both(1, "")}, server})
	m.until("/metrics", `distproof_connections{open="true",state="up",verdict="mutual"} 1`)
	l.connect(t, clientSpec{nodeSpec{name: "shop", host: 1}, nodeSpec{name: "legacy", host: 3}})
	m.until("/metrics", `distproof_conclusion{conclusion="fail"} 1`)

	m.policy("distribution: {expect: anything}\n")
	if out, err := m.command("systemctl", "reload", unit).CombinedOutput(); err == nil {
		t.Errorf("a wrong policy is taken: %s", out)
	}
	m.policy(m.run("distproof", "policy", "show", "--policy", "builtin:observe"))
	m.run("systemctl", "reload", unit)
	m.until("/metrics", `distproof_conclusion{conclusion="pass"} 1`)

	m.run("systemctl", "kill", "-s", "KILL", unit)
	m.wait("another one", func() bool { return m.run("systemctl", "show", "-P", "NRestarts,SubState", unit) == "1\nrunning\n" })
	m.until("/healthz", "ok\n")
	began := time.Now()
	m.run("systemctl", "stop", unit)
	t.Logf("stopped after %v", time.Since(began))
	if log := m.run("journalctl", "-u", unit, "-n", "5"); !strings.Contains(log, "Deactivated successfully") {
		t.Errorf("systemd takes the end for a failure: %s", log)
	}
	if out := m.run("bash", "-c", "distproof verify /var/lib/distproof || test $? = 1"); !strings.Contains(out, "1 of 2 distribution connections is not mutual TLS: 1 in the clear") {
		t.Errorf("what is saved shows %s", out)
	}
}

// A machine is a systemd that was booted, with what is on this host, in a network
// namespace.
type machine struct {
	*testing.T
	init string // the id of its first process
}

// boot boots a machine with a program and its unit.
func boot(t *testing.T, namespace, program string) *machine {
	t.Helper()
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	service, err := filepath.Abs("../../deploy/" + unit + ".service")
	if err != nil {
		t.Fatal(err)
	}
	root := file("root")
	for _, name := range []string{root, file("etc")} {
		if err := os.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	console := new(bytes.Buffer)
	// This host's files, for reading alone, and only in a mount namespace that goes
	// with the machine: whoever removes the folder must not remove them. What the
	// machine writes goes into memory. The calls of Landlock are those that
	// containers of systemd 252 do not have.
	const mounted = `mount --bind / "$0" && mount -o remount,bind,ro "$0" && exec systemd-nspawn --directory "$0" "$@"`
	nspawn := exec.Command("unshare", "--mount", "--propagation", "private", "bash", "-ec", mounted, root, "--volatile=overlay", "--boot", "--register=no", "--keep-unit", "--console=read-only",
		"--network-namespace-path=/run/netns/"+namespace, "--bind-ro="+program+":/usr/local/bin/distproof", "--bind-ro="+service+":/etc/systemd/system/"+unit+".service",
		"--bind="+file("etc")+":/etc/distproof", "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self", "--",
		"systemd.unit=basic.target", "systemd.show_status=no")
	nspawn.Stdout, nspawn.Stderr = console, console
	if err := nspawn.Start(); err != nil {
		t.Fatal(err)
	}
	m := &machine{T: t}
	t.Cleanup(func() {
		_ = nspawn.Process.Signal(unix.SIGTERM)
		late := time.AfterFunc(20*time.Second, func() { _ = nspawn.Process.Kill() })
		defer late.Stop()
		_ = nspawn.Wait()
		if t.Failed() {
			t.Logf("%s", console)
		}
	})
	m.wait("systemd", func() bool {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", nspawn.Process.Pid))
		m.init = strings.TrimSpace(string(children))
		out, _ := m.command("systemctl", "is-system-running").Output()
		return m.init != "" && (string(out) == "running\n" || string(out) == "degraded\n")
	})
	return m
}

// command is one that runs in the machine.
func (m *machine) command(argv ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	m.Cleanup(cancel)
	return exec.CommandContext(ctx, "nsenter", append([]string{"--target", m.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--"}, argv...)...)
}

// run runs a command that must succeed.
func (m *machine) run(argv ...string) string {
	m.Helper()
	out, err := m.command(argv...).CombinedOutput()
	if err != nil {
		m.Fatalf("%q: %v: %s", argv, err, out)
	}
	return string(out)
}

// policy replaces the policy.
func (m *machine) policy(text string) {
	m.Helper()
	m.run("bash", "-c", `printf %s "$0" > /etc/distproof/policy.yaml`, text)
}

// until waits until the service answers with some words.
func (m *machine) until(path, words string) {
	m.Helper()
	const get = `exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$0" >&3 && cat <&3`
	m.wait(path+" says "+words, func() bool {
		out, err := m.command("bash", "-c", get, path).Output()
		return err == nil && bytes.Contains(out, []byte(words))
	})
}

// wait waits until something is so.
func (m *machine) wait(what string, is func() bool) {
	m.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !is(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := m.command("journalctl", "--no-pager", "-u", unit).CombinedOutput()
			m.Fatalf("%s: not so after two minutes; %s", what, log)
		}
	}
}
