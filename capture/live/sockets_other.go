//go:build !linux

package live

// Sockets fails: this system has no sock_diag.
func Sockets(string) ([]Socket, error) { return nil, errUnsupported }
