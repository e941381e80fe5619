package live

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"distproof/capture"
	"distproof/internal/typo"
)

// A state is that of an interface that is captured on.
type state struct {
	InterfaceState
	// up says that it is to be used, index is its number; false and zero if it is
	// not there.
	up    bool
	index int
	// captured says that it was up some time, and left is the last frame before it
	// was so no longer.
	captured bool
	left     uint32
	// asked is the number of the question how many packets crossed it before it was
	// captured on again; zero if that is known.
	asked uint32
}

// maxStates bounds what is remembered of interfaces that are gone.
const maxStates = 1 << 10

// any says that all interfaces are captured on, and single that it is just one.
func (s *Source) any() bool    { return s.options.Interfaces[0] == Any }
func (s *Source) single() bool { return len(s.options.Interfaces) == 1 && !s.any() }

// refuseMissing fails if an interface is missing or down, or notes it if it is to
// be waited for.
func (s *Source) refuseMissing() error {
	if s.any() {
		return nil
	}
	for _, name := range s.options.Interfaces {
		i := s.states[name]
		if i.up {
			continue
		}
		e := &capture.Error{Path: name, Reason: "the interface is down", Advice: s.links.advice(), Err: unix.ENETDOWN}
		if i.index == 0 {
			e.Reason, e.Err = "no such interface", unix.ENODEV
			i.Missing = e.Reason
			if near := typo.Nearest(name, append(s.links.names(), Any)); near != "" {
				question := "did you mean " + near + "?"
				e.Advice = question + "\n" + e.Advice
				i.Missing += "; " + question
			}
		}
		if !s.options.Wait {
			return e
		}
		s.notes = append(s.notes, e.Error()+": it is waited for; "+strings.ReplaceAll(e.Advice, "\n", " "))
	}
	return nil
}

// warn notes bridges: what they forward they do not see.
func (s *Source) warn() {
	if s.any() || s.options.Promiscuous {
		return
	}
	for _, name := range s.options.Interfaces {
		if info, err := unix.IoctlGetEthtoolDrvinfo(s.fd, name); err == nil && unix.ByteSliceToString(info.Driver[:]) == "bridge" {
			s.notes = append(s.notes, name+" is a bridge: what passes it from one port to another is seen in promiscuous mode only: --promiscuous")
		}
	}
}

// watch follows the interfaces until the capture is stopped, also while nobody
// calls Next.
func (s *Source) watch() {
	defer close(s.watched)
	for {
		fds := []unix.PollFd{{Fd: int32(s.links.fd), Events: unix.POLLIN}, {Fd: int32(s.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if fds[1].Revents != 0 {
			return
		}
		s.mu.Lock()
		s.follow()
		s.mu.Unlock()
	}
}

// follow takes in what happened to interfaces. The caller has locked s.
func (s *Source) follow() {
	if s.stopping || s.links == nil {
		return
	}
	if err := s.links.read(); err != nil {
		s.damage("interfaces cannot be followed: " + reasonOf(err))
	}
}

// linkChanged takes in that an interface came, changed or went.
func (s *Source) linkChanged(i netInterface, there bool) {
	known := s.states[i.name]
	if known == nil && s.any() && there {
		known = &state{InterfaceState: InterfaceState{Name: i.name}}
		s.states[i.name] = known
	}
	if known == nil || !there && known.index != i.index {
		return // it is not captured on, or another one has its name by now
	}
	before := *known
	known.update(&i, there, s.lastFrame())
	if before.InterfaceState != known.InterfaceState {
		s.notice()
	}
	switch {
	case s.any(): // the socket has them all
		if !there && len(s.states) > maxStates {
			delete(s.states, i.name)
		}
	case s.ring != nil: // else it is being opened
		s.captureAgain(known, before.index, &i, there)
	}
}

// update takes in how the interface is after a frame.
func (k *state) update(i *netInterface, there bool, frame uint32) {
	before := *k
	k.index, k.up, k.Up = 0, there && i.up(), there && i.carries()
	if there {
		k.index, k.Missing = i.index, ""
	}
	if before.Up && (!k.Up || k.index != before.index) {
		k.Vanished++
	}
	if k.up {
		k.captured = true
	} else if before.up {
		k.left = frame
	}
}

// captureAgain takes the interface under its number, if that is not the one that it
// had before, and learns what it missed of one that is back.
func (s *Source) captureAgain(known *state, before int, i *netInterface, there bool) {
	answered := i.answers != 0 && int32(i.answers-known.asked) >= 0 // the numbers go round
	if known.asked != 0 && (answered || !there) {
		s.back(i, there)
		known.asked = 0
	}
	if known.index != before {
		if s.links.missed {
			s.damage("interfaces changed faster than could be followed")
		}
		s.aimAgain(known)
	}
}

// aimAgain takes an interface that is gone, or back under another number.
func (s *Source) aimAgain(known *state) {
	err := s.filter()
	if err == nil {
		err = s.aim()
	}
	if errors.Is(err, unix.ENODEV) {
		err = nil // gone again, which will be told
	}
	if err == nil && known.index != 0 {
		known.asked, err = s.links.ask(known.index)
	}
	if err != nil {
		s.damage(err.Error())
	}
}

// back counts what crossed an interface that came back until it was captured on.
// That is not known of one that is gone by now, and one in promiscuous mode counts
// more than before. One that keeps its number is captured on as part of coming up.
func (s *Source) back(i *netInterface, there bool) {
	switch {
	case i.used && (!there || s.options.Promiscuous):
		s.damage(fmt.Sprintf("the interface %s was up before it could be captured on again", i.name))
	case there && i.packets > i.before:
		s.missed += i.packets - i.before
	}
	s.notice()
}

// away describes the interfaces that are not up: as long as that is so, what there
// is may go another way. It returns nil if there are none.
func (s *Source) away() *capture.Damage {
	if s.any() {
		return nil
	}
	var out *capture.Damage
	for _, name := range slices.Sorted(maps.Keys(s.states)) {
		i := s.states[name]
		if i.up {
			continue
		}
		if out == nil {
			out = &capture.Damage{Frame: i.left, Continued: true}
		} else {
			out.Reason += ", "
		}
		out.Reason += "the interface " + name + " " + i.how()
	}
	return out
}

// how says how an interface is that is not up.
func (k *state) how() string {
	switch {
	case k.captured && k.index == 0:
		return "went away"
	case k.captured:
		return "went down"
	case k.index == 0:
		return "does not exist"
	}
	return "is down"
}

// Interfaces says how the interfaces do that are captured on, in the order of
// their names; with [Any], those that are gone, too. It may be called from any
// goroutine.
func (s *Source) Interfaces() []InterfaceState {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.follow()
	var out []InterfaceState
	for _, i := range s.states {
		out = append(out, i.InterfaceState)
	}
	slices.SortFunc(out, func(a, b InterfaceState) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (s *Source) notice() {
	select {
	case s.noticed <- struct{}{}:
	default:
	}
}

// Noticed has something when an interface has changed, as [Source.Interfaces]
// says, or what was missed on it is known.
func (s *Source) Noticed() <-chan struct{} { return s.noticed }
