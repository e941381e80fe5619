package serve

import (
	"fmt"
	"slices"
	"time"

	"distproof/capture/live"
)

// stuckTime is how old a State may be while there are packets that it has not.
const stuckTime = 2 * time.Minute

// health says why the watch cannot be relied on; empty if it can.
func (o *Options) health() string {
	s := o.State()
	up := func(i live.InterfaceState) bool { return i.Up }
	switch {
	case s.Blind != "":
		return "blind: " + s.Blind
	case len(s.Interfaces) > 0 && !slices.ContainsFunc(s.Interfaces, up):
		return "blind: no interface is up"
	case o.Packets != nil && o.Packets() > s.Packets && time.Since(s.At) > stuckTime:
		return fmt.Sprintf("stuck: %s without a new report, though packets come", time.Since(s.At).Round(time.Second))
	}
	return ""
}
