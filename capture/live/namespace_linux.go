package live

import (
	"cmp"
	"errors"
	"io/fs"
	"runtime"
	"strconv"
	"strings"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"distproof/capture"
)

// within runs f in a network namespace. Sockets stay in the namespace that they
// were made in.
func within(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	handle, err := openNamespace(namespace)
	if err != nil {
		return namespaceError(namespace, err)
	}
	defer handle.Close()
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, which is in another namespace, ends with
		// this goroutine.
		runtime.LockOSThread()
		if err := netns.Set(handle); err != nil {
			done <- namespaceError(namespace, err)
			return
		}
		done <- f()
	}()
	return <-done
}

func openNamespace(namespace string) (netns.NsHandle, error) {
	if pid, err := strconv.Atoi(namespace); err == nil {
		return netns.GetFromPid(pid)
	}
	if strings.Contains(namespace, "/") {
		return netns.GetFromPath(namespace)
	}
	return netns.GetFromName(namespace)
}

func namespaceError(namespace string, err error) error {
	e := &capture.Error{Path: "network namespace " + namespace, Reason: reasonOf(err), Err: err}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Reason = "there is none"
		e.Advice = "ip netns list shows names; a container's is that of its process: docker inspect -f '{{.State.Pid}}' CONTAINER"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		e.Reason = "no permission to enter it: the capability CAP_SYS_ADMIN is missing"
		e.Advice = "be root, or, for another's process also CAP_SYS_PTRACE: " + setcap("cap_net_raw,cap_sys_admin,cap_sys_ptrace")
	case errors.Is(err, unix.EINVAL):
		e.Reason = "that is no network namespace"
	}
	return e
}

// setcap is the command that gives the program a capability.
func setcap(capabilities string) string {
	return "sudo setcap " + capabilities + `+ep "$(command -v distproof)"`
}

// reasonOf is what the system says, without the names of calls and files.
func reasonOf(err error) string {
	errno, _ := errors.AsType[unix.Errno](err)
	return cmp.Or(errno, unix.EIO).Error()
}
