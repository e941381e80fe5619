//go:build !linux

package live

// A SocketTable lists sockets. There is none on this system.
type SocketTable struct{}

// OpenSockets fails: this system has no sock_diag.
func OpenSockets(string) (*SocketTable, error) { return nil, errUnsupported }

// List fails.
func (*SocketTable) List() ([]Socket, error) { return nil, errUnsupported }

// Close does nothing.
func (*SocketTable) Close() error { return nil }
