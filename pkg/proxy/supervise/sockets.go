// Package supervise is the life of gateway processes: it holds listening
// sockets and hands them on, from a supervisor to its workers, from one program
// to the next, or from the service manager; it starts processes, tells them
// what to do and notices how they end. What is served on a socket is not its
// business.
package supervise

import (
	"errors"
	"net"
	"os"
	"strings"
	"sync"
)

// Names of the sockets of a gateway.
const (
	Gateway = "gateway"
	Health  = "health"
	Metrics = "metrics"
	Profile = "profile"
)

// Sockets are the listening sockets of a process: those that it was given and
// those that it has opened. The zero value has none.
type Sockets struct {
	mu sync.Mutex
	// given are sockets that another process has bound, until they are used.
	given map[string]net.Listener
	// fixed says that the addresses of given sockets count, not those that are
	// asked for: a service manager has chosen them.
	fixed bool
	open  []socket
}

type socket struct {
	name     string
	listener net.Listener
}

// Listen returns the socket of a name: one that was given, or a new one. Each
// can be had once.
func (s *Sockets) Listen(name, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.given[name]
	if ok && !s.fixed && !sameAddress(l.Addr(), address) {
		_ = l.Close()
		ok = false
	}
	delete(s.given, name)
	if !ok {
		var err error
		if l, err = net.Listen("tcp", address); err != nil {
			return nil, err
		}
	}
	s.open = append(s.open, socket{name, l})
	return l, nil
}

// sameAddress reports whether a socket is what would be bound. A host that is a
// name is not looked up: the process that bound the socket had the same.
func sameAddress(bound net.Addr, wanted string) bool {
	_, port, err := net.SplitHostPort(wanted)
	if err != nil {
		return false
	}
	_, have, err := net.SplitHostPort(bound.String())
	return err == nil && (have == port || port == "0")
}

// CloseGiven closes what was given and is not used.
func (s *Sockets) CloseGiven() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.given {
		_ = l.Close()
	}
	s.given = nil
}

// Close closes what Listen has returned: for a process that only holds sockets.
func (s *Sockets) Close() {
	s.CloseGiven()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.open {
		_ = o.listener.Close()
	}
	s.open = nil
}

// take makes sockets of descriptors that were given, closing them.
func (s *Sockets) take(names []string, files []*os.File) error {
	s.given = map[string]net.Listener{}
	var errs []error
	for i, f := range files {
		l, err := net.FileListener(f)
		_ = f.Close()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if old := s.given[names[i]]; old != nil {
			_ = old.Close()
		}
		s.given[names[i]] = l
	}
	return errors.Join(errs...)
}

// systemdNames are FileDescriptorName= of a socket unit; what has no name that
// is known is the gateway's.
func systemdNames(text string, n int) []string {
	names := strings.Split(text, ":")
	for len(names) < n {
		names = append(names, "")
	}
	for i, name := range names {
		switch name {
		case Health, Metrics, Profile:
		default:
			names[i] = Gateway
		}
	}
	return names[:n]
}
