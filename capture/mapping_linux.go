package capture

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file's first size bytes. It returns nil if that cannot be
// done, and the file has to be read.
func mapFile(file *os.File, size int64) []byte {
	if size <= 0 || int64(int(size)) != size {
		return nil
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	return data
}

func unmapFile(data []byte) error { return unix.Munmap(data) }

// populate makes pages resident in one go, which costs less than a fault for
// each. Older kernels cannot; the pages then come one by one.
func populate(pages []byte) { advise(pages, unix.MADV_POPULATE_READ) }

// release lets the kernel take pages back. They stay valid.
func release(pages []byte) { advise(pages, unix.MADV_DONTNEED) }

func advise(pages []byte, advice int) {
	if len(pages) > 0 {
		_ = unix.Madvise(pages, advice)
	}
}
