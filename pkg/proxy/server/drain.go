package server

import (
	"context"
	"net"
	"net/http"
	"time"
)

const (
	// acceptPatience is how long after a drain has begun new connections are
	// still taken: a balancer needs a moment to see that readiness fails.
	acceptPatience = 10 * time.Second
	// quietPatience is how long nothing must have happened on any connection
	// before idle ones are closed. A client may just be sending a request into
	// one, which would fail: the longer it was silent, the less likely.
	quietPatience = time.Second
	// emptyPatience is the same while there is no connection at all.
	emptyPatience = 60 * time.Millisecond
	// attemptPatience is how long connections that are being made are waited
	// for before the listener closes.
	attemptPatience = 250 * time.Millisecond

	// cutPatience is how long requests that are cut may take to say so.
	cutPatience = 500 * time.Millisecond

	drainStep = 20 * time.Millisecond
)

// wrap makes every answer of a drain the last of its connection: the client
// makes another one, which leads elsewhere. Nothing is closed under a request.
func (s *Server) wrap(h http.Handler) http.Handler {
	count := s.o.OnRequest
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if count != nil {
			count()
		}
		if s.draining.Load() {
			w.Header()["Connection"] = lastAnswer
		}
		h.ServeHTTP(w, r)
	})
}

var lastAnswer = []string{"close"}

// EndConnections makes every answer from here on the last of its connection.
func (s *Server) EndConnections() {
	s.moved.Store(time.Now().UnixNano())
	s.draining.Store(true)
}

// connState counts connections, and notes that something happens while a drain
// wants to know.
func (s *Server) connState(c net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.open.Add(1)
		s.clients.add(c)
	case http.StateClosed, http.StateHijacked:
		s.open.Add(-1)
		s.clients.drop(c)
		return
	default:
	}
	if s.draining.Load() {
		s.moved.Store(time.Now().UnixNano())
	}
}

// Drain lets requests in flight finish and ends. With handedOver another process
// serves on the same sockets: nothing new is accepted from here on. Otherwise
// new connections are taken until nobody brings any, or a balancer has had time
// to look elsewhere; then the sockets are closed so that no connection that was
// made is lost. When ctx ends first, what is left is cut, with Options.Cut as the
// cause, and Drain says how much.
func (s *Server) Drain(ctx context.Context, handedOver bool) (cut int64) {
	s.EndConnections()
	begin := time.Now()
	accept := acceptPatience
	if deadline, ok := ctx.Deadline(); ok {
		// What was taken last must have time to finish.
		accept = min(accept, time.Until(deadline)/4)
	}
	if handedOver {
		s.stopped.Store(true)
		_ = s.listener.Close()
		if s.probes != nil {
			_ = s.probes.Close()
		}
	}
	tick := time.NewTicker(drainStep)
	defer tick.Stop()
	for !s.quiet() {
		if !s.stopped.Load() && time.Since(begin) > accept {
			s.stopAccepting()
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		cut = s.inFlight()
		s.endRequests()
		s.Close()
		return cut
	}
	if !s.stopped.Load() && s.open.Load() > 0 {
		s.stopAccepting()
	}
	// Answers may still be on their way to clients after their handlers ended.
	if err := s.http.Shutdown(ctx); err != nil {
		cut = s.inFlight()
		s.endRequests()
	}
	s.Close()
	return cut
}

// endRequests ends the contexts of all requests, and lets their handlers say to
// their clients that the gateway has cut them. What a handler has said is on its
// way only when its connection has nothing more to do, which Shutdown waits for:
// closing when the last handler returns could take the answer back.
func (s *Server) endRequests() {
	s.http.SetKeepAlivesEnabled(false) // these answers are the last of their connections
	s.cut(s.o.Cut)
	s.clients.stopReading()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), cutPatience)
		defer cancel()
		_ = s.http.Shutdown(ctx) // what is still open is closed by force
	}()
	if s.o.OnCut != nil {
		s.o.OnCut()
	}
	for end := time.Now().Add(cutPatience); s.inFlight() > 0 && time.Now().Before(end); {
		time.Sleep(drainStep)
	}
}

func (s *Server) inFlight() int64 {
	if s.o.InFlight == nil {
		return 0
	}
	return s.o.InFlight()
}

// quiet reports whether nothing is in flight and nobody is about to send more.
func (s *Server) quiet() bool {
	if s.inFlight() > 0 {
		return false
	}
	silence := time.Since(time.Unix(0, s.moved.Load()))
	return silence > quietPatience || s.open.Load() == 0 && silence > emptyPatience
}

// stopAccepting closes the listener without losing a connection. A listener that
// is closed resets what it has not yet accepted, so attempts to connect are
// ignored first, which makes clients try again, and those that have succeeded
// are accepted.
func (s *Server) stopAccepting() {
	if ignoreAttempts(s.listener) {
		time.Sleep(attemptPatience)
	}
	s.stopped.Store(true)
	endListening(s.listener)
	_ = s.listener.Close()
}
