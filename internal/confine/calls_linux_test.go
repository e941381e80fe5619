//go:build linux && (amd64 || arm64)

package confine

import (
	"encoding/binary"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// TestProgram runs the filter, in a machine whose integers are big-endian.
func TestProgram(t *testing.T) {
	vm, err := bpf.NewVM(program())
	if err != nil {
		t.Fatal(err)
	}
	const (
		allow = unix.SECCOMP_RET_ALLOW
		eperm = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)
		kill  = unix.SECCOMP_RET_KILL_PROCESS
	)
	threads := uint64(unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD)
	for _, tt := range []struct {
		name string
		arch uint32
		call uint32
		args [6]uint64
		want uint32
	}{
		{"read", auditArch, unix.SYS_READ, [6]uint64{}, allow},
		{"execve", auditArch, unix.SYS_EXECVE, [6]uint64{}, eperm},
		{"the last in the list", auditArch, unix.SYS_LOOKUP_DCOOKIE, [6]uint64{}, eperm},
		{"clone3", auditArch, unix.SYS_CLONE3, [6]uint64{}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{"a thread", auditArch, unix.SYS_CLONE, [6]uint64{threads}, allow},
		{"a process", auditArch, unix.SYS_CLONE, [6]uint64{uint64(unix.SIGCHLD)}, eperm},
		{"a netlink socket", auditArch, unix.SYS_SOCKET, [6]uint64{unix.AF_NETLINK}, allow},
		{"a packet socket", auditArch, unix.SYS_SOCKET, [6]uint64{unix.AF_PACKET}, eperm},
		{"an IP socket", auditArch, unix.SYS_SOCKET, [6]uint64{unix.AF_INET}, eperm},
		{"memory", auditArch, unix.SYS_MMAP, [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_WRITE}, allow},
		{"executable memory", auditArch, unix.SYS_MMAP, [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, eperm},
		{"memory made executable", auditArch, unix.SYS_MPROTECT, [6]uint64{0, 4096, unix.PROT_READ | unix.PROT_EXEC}, eperm},
		{"the size of the terminal", auditArch, unix.SYS_IOCTL, [6]uint64{1, unix.TIOCGWINSZ}, allow},
		{"typing into the terminal", auditArch, unix.SYS_IOCTL, [6]uint64{1, unix.TIOCSTI}, eperm},
		{"typing, with bits that the kernel ignores", auditArch, unix.SYS_IOCTL, [6]uint64{1, 1<<32 | unix.TIOCSTI}, eperm},
		// The argument is the number of a call that is refused.
		{"an argument is no call", auditArch, unix.SYS_IOCTL, [6]uint64{1, unix.SYS_EXECVE}, allow},
		{"another architecture", auditArch ^ 1, unix.SYS_READ, [6]uint64{}, kill},
		{"another ABI", auditArch, x32 | unix.SYS_READ, [6]uint64{}, kill},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := vm.Run(data(tt.arch, tt.call, tt.args))
			if err != nil || uint32(got) != tt.want {
				t.Errorf("%#x, %v, want %#x", got, err, tt.want)
			}
		})
	}
}

// data is struct seccomp_data as the machine wants it: lower halves of arguments
// where they are in memory on little-endian ones.
func data(arch, call uint32, args [6]uint64) []byte {
	b := binary.BigEndian.AppendUint32(nil, call)
	b = binary.BigEndian.AppendUint32(b, arch)
	b = append(b, make([]byte, 8)...)
	for _, a := range args {
		b = binary.BigEndian.AppendUint32(b, uint32(a))
		b = binary.BigEndian.AppendUint32(b, uint32(a>>32))
	}
	return b
}
