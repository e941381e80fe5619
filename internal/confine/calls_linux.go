//go:build linux && (amd64 || arm64)

package confine

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// SystemCalls has the kernel refuse, with EPERM, the calls that start programs
// and processes, look into others, reach the network, make memory executable, or
// are of use to administrators only. No new privileges must be possible.
//
// It is a list of what is refused. One of what is allowed would have to foresee
// all that Go's runtime and library will ever call, on each architecture; what it
// misses ends a watch after weeks. What reads files stays allowed: Landlock says
// which.
func SystemCalls() error {
	code, err := bpf.Assemble(program())
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(code))
	for i, c := range code {
		filter[i] = unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// TSYNC is for the threads of the process: those that there are take it
	// over at once, and later ones from the one that makes them.
	failed, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	switch {
	case errno == unix.ENOSYS || errno == unix.EINVAL:
		return errors.New("this kernel has no seccomp filters")
	case errno != 0:
		return fmt.Errorf("seccomp: %w", errno)
	case failed != 0:
		return fmt.Errorf("seccomp: thread %d has another filter", failed)
	}
	return nil
}

// Offsets in struct seccomp_data of linux/seccomp.h, on little-endian machines.
// Arguments have 64 bits; the kernel looks at the lower half of those used here.
const (
	offsetCall = 0
	offsetArch = 4
	offsetArgs = 16
)

// x32 is the bit that calls of the x32 ABI have, which is no other architecture
// for the kernel. There is nothing like it on arm64.
const x32 = 0x4000_0000

// A condition allows a call by one of its arguments.
type condition struct {
	call, argument uint32
	allowed        bpf.JumpTest
	value          uint32
}

// conditions are the calls that the process needs, and how.
var conditions = []condition{
	// Threads, not processes.
	{unix.SYS_CLONE, 0, bpf.JumpBitsSet, unix.CLONE_THREAD},
	// What the kernel tells about sockets and interfaces.
	{unix.SYS_SOCKET, 0, bpf.JumpEqual, unix.AF_NETLINK},
	// What is written is not run.
	{unix.SYS_MMAP, 2, bpf.JumpBitsNotSet, unix.PROT_EXEC},
	{unix.SYS_MPROTECT, 2, bpf.JumpBitsNotSet, unix.PROT_EXEC},
	// The terminal, but nothing typed into it.
	{unix.SYS_IOCTL, 1, bpf.JumpNotEqual, unix.TIOCSTI},
}

// program is the filter.
func program() []bpf.Instruction {
	allow, refuse := bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: offsetArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: auditArch, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS}, // another ABI has other numbers
		bpf.LoadAbsolute{Off: offsetCall, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: x32, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
	}
	for _, call := range refused {
		out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, refuse)
	}
	// Its flags are in memory. Whoever uses it can do without.
	out = append(out, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.SYS_CLONE3, SkipTrue: 1}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	for _, c := range conditions {
		out = append(out,
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: c.call, SkipTrue: 4},
			bpf.LoadAbsolute{Off: offsetArgs + 8*c.argument, Size: 4},
			bpf.JumpIf{Cond: c.allowed, Val: c.value, SkipTrue: 1},
			refuse,
			allow)
	}
	return append(out, allow)
}

// refused are the calls that are refused altogether.
var refused = append([]uint32{
	// Programs.
	unix.SYS_EXECVE, unix.SYS_EXECVEAT,
	// Other processes.
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE,
	unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_KCMP, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES,
	// The network.
	unix.SYS_CONNECT, unix.SYS_LISTEN, unix.SYS_SOCKETPAIR,
	// Large or young parts of the kernel.
	unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER,
	unix.SYS_IO_URING_REGISTER, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_FANOTIFY_INIT,
	unix.SYS_PERSONALITY, unix.SYS_PKEY_MPROTECT, unix.SYS_MEMFD_CREATE, unix.SYS_MEMFD_SECRET, unix.SYS_SHMAT,
	// Namespaces and mounts.
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_CHROOT, unix.SYS_PIVOT_ROOT, unix.SYS_MOUNT, unix.SYS_UMOUNT2,
	unix.SYS_OPEN_TREE, unix.SYS_OPEN_TREE_ATTR, unix.SYS_MOVE_MOUNT, unix.SYS_FSOPEN, unix.SYS_FSCONFIG,
	unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_NAME_TO_HANDLE_AT, unix.SYS_OPEN_BY_HANDLE_AT,
	// The machine.
	unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_DELETE_MODULE, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD,
	unix.SYS_REBOOT, unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_ACCT, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD,
	unix.SYS_SYSLOG, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME,
	unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_VHANGUP, unix.SYS_NFSSERVCTL, unix.SYS_LOOKUP_DCOOKIE,
}, refusedHere...)
