package confine

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/cap"
)

// secured are the securebits that give root no rights of its own, and keep
// anybody from raising capabilities again.
const secured = cap.SecbitNoRoot | cap.SecbitNoRootLocked | cap.SecbitNoSetUIDFixup | cap.SecbitNoSetUIDFixupLocked |
	cap.SecbitKeepCapsLocked | cap.SecbitNoCapAmbientRaise | cap.SecbitNoCapAmbientRaiseLocked

// Privileges makes the process that of u, if not nil, without other groups,
// without any capability, and unable to get privileges by running a program.
// Others of the same user can neither trace it nor read its memory. It goes as
// far as it can, and the error says all that it could not do.
func Privileges(u *User) error {
	var errs []error
	try := func(what string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", what, err))
		}
	}
	// Without CAP_SETPCAP these two fail. They bound what running a program may
	// give, which is nothing without new privileges.
	if capable(cap.SETPCAP) {
		try("the bounding set of capabilities stays", dropBound())
		try("the securebits stay", secured.Set())
	}
	if u != nil && (u.UID != os.Getuid() || os.Getuid() != os.Geteuid()) {
		try("the groups stay", cap.SetGroups(u.GID))
		try(fmt.Sprintf("the user stays %d", os.Geteuid()), cap.SetUID(u.UID))
	}
	if err := cap.ResetAmbient(); !errors.Is(err, unix.EINVAL) { // before Linux 4.3 there are none
		try("ambient capabilities stay", err)
	}
	try("capabilities stay", cap.NewSet().SetProc())
	_, err := cap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1)
	try("programs that it runs may get privileges", err)
	try("its memory can be read by its user", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
	return errors.Join(errs...)
}

// capable reports whether the process may use a capability.
func capable(c cap.Value) bool {
	has, err := cap.GetProc().GetFlag(cap.Effective, c)
	return err == nil && has
}

func dropBound() error {
	for c := cap.Value(0); c < cap.MaxBits(); c++ {
		if err := cap.DropBound(c); err != nil {
			return err
		}
	}
	return nil
}
