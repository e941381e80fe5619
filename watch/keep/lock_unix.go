//go:build unix && !solaris

package keep

import (
	"errors"
	"os"
	"syscall"
)

// lockFolder takes the lock on a folder, which ends with the process.
func lockFolder(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errors.New("another watch saves into it")
	}
	return err
}
