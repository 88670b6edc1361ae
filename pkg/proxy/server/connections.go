package server

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// connections are those of clients, so that a cut can end the reading of bodies
// that are still arriving: a handler that waits for bytes does not see that its
// context has ended. The lock is taken when one comes and when it goes.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]struct{}
}

func (l *connections) add(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[net.Conn]struct{}{}
	}
	l.open[c] = struct{}{}
}

func (l *connections) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}

// stopReading ends every read. Connections of HTTP/2 are left alone: their
// frames, those that say how much may be written among them, are read for all
// streams, and a handler ends the reading of its own.
func (l *connections) stopReading() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.open {
		if s, ok := c.(*tls.Conn); ok && s.ConnectionState().NegotiatedProtocol == "h2" {
			continue
		}
		_ = c.SetReadDeadline(time.Unix(1, 0))
	}
}
