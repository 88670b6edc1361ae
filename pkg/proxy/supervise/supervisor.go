package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

const (
	// readyPatience is how long a process may take to serve its first request.
	readyPatience = 2 * time.Minute
	// maxDraining bounds the workers that finish what they began: beyond it the
	// current one goes on a little longer.
	maxDraining = 4
	firstDelay  = 100 * time.Millisecond
	longestWait = 30 * time.Second
	// settled is the age from which a worker's death is no reason to wait before
	// the next is started.
	settled = 10 * time.Second
)

// ExitError is the exit code of the worker that decided how the service ends.
// The worker has said why.
type ExitError struct{ Code int }

func (e *ExitError) Error() string { return fmt.Sprintf("the worker ended with code %d", e.Code) }

// Supervisor holds sockets and one worker that serves on them. When a worker has
// served enough, another is started, and the first drains when the other serves;
// when one dies, another is started.
type Supervisor struct {
	Sockets *Sockets
	// Stdin is what every worker reads from its standard input; nil shares ours.
	Stdin []byte
	// Signals are passed on: Reload to the worker, Replace starts a successor of
	// this process.
	Signals <-chan os.Signal
	// Ready is called once, when the first worker serves.
	Ready func()
	Log   *slog.Logger

	events   chan event
	current  *worker
	next     *worker
	draining map[*worker]bool
	wanted   bool // a next worker, as soon as one may be started
	delay    time.Duration
	retry    <-chan time.Time
	code     int
	started  int
	// ends says that the instance was asked to drain: nothing takes the place of a
	// worker that serves, and what serves later is not ready for new traffic.
	ends bool
	// replaced says that a successor serves: nothing is started any more.
	replaced  bool
	successor chan error
}

// worker is a process and what it has said.
type worker struct {
	*child
	n     int
	since time.Time
	ready bool
	full  bool // has served enough
}

type event struct {
	w    *worker
	word string // empty at its end
	code int
}

// Run supervises until ctx ends and the workers have drained, or until a
// successor has taken over. A first worker that never serves ends it.
func (s *Supervisor) Run(ctx context.Context) error {
	s.events = make(chan event, 16)
	s.draining = map[*worker]bool{}
	first, err := s.start(FirstWorker)
	if err != nil {
		return err
	}
	s.current = first
	done := ctx.Done()
	for s.current != nil || s.next != nil || len(s.draining) > 0 || s.retry != nil {
		select {
		case <-done:
			done = nil
			s.stop()
		case sig := <-s.Signals:
			s.signal(sig, done == nil)
		case e := <-s.events:
			if err := s.take(e, done == nil); err != nil {
				return err
			}
		case <-s.retry:
			s.retry = nil
			s.replace()
		case err := <-s.successor:
			s.successor = nil
			s.succeeded(err)
		}
	}
	if s.code != 0 {
		return &ExitError{Code: s.code}
	}
	return nil
}

// start runs a worker and listens to it.
func (s *Supervisor) start(role Role) (*worker, error) {
	c, err := s.Sockets.start(spec{role: role, stdin: s.Stdin, without: []string{notifySocket}})
	if err != nil {
		return nil, err
	}
	s.started++
	w := &worker{child: c, n: s.started, since: time.Now()}
	go func() {
		late := time.AfterFunc(readyPatience, c.kill)
		listen(c.up, func(word string) {
			if word == wordReady {
				late.Stop()
			}
			s.events <- event{w: w, word: word}
		})
		code := c.wait()
		late.Stop()
		s.events <- event{w: w, code: code}
	}()
	return w, nil
}

// replace starts the worker that takes over, unless one is on its way.
func (s *Supervisor) replace() {
	if s.next != nil || s.retry != nil || s.replaced || s.ends && s.current != nil {
		return
	}
	if len(s.draining) >= maxDraining && s.current != nil {
		s.wanted = true
		return
	}
	s.wanted = false
	var err error
	if s.next, err = s.start(Worker); err != nil {
		s.next = nil
		s.Log.Error("a worker cannot be started: " + err.Error())
		s.later()
	}
}

// later tries again after a delay that grows.
func (s *Supervisor) later() {
	s.delay = min(max(2*s.delay, firstDelay), longestWait)
	s.retry = time.After(s.delay)
}

// take handles what a worker has said, or its end.
func (s *Supervisor) take(e event, stopping bool) error {
	w := e.w
	switch e.word {
	case wordReady:
		s.serves(w)
	case wordEnough:
		w.full = true
		if w == s.current && !stopping {
			s.replace()
		}
	case wordReloaded:
		if w == s.current {
			NotifyReady()
		}
	case wordDraining:
		s.ends, s.wanted = true, false
	case "":
		w.close()
		return s.ended(w, e.code, stopping)
	}
	return nil
}

// serves makes the next worker the current one.
func (s *Supervisor) serves(w *worker) {
	w.ready = true
	if s.ends {
		w.tell(wordDrain)
	}
	if w == s.current { // the first
		if s.Ready != nil {
			s.Ready()
		}
		return
	}
	if w != s.next {
		return
	}
	old := s.current
	s.current, s.next = w, nil
	if old == nil {
		s.Log.Warn("a new worker serves", "pid", w.pid, "worker", w.n)
		return
	}
	s.Log.Info("a new worker serves, the old one drains", "pid", w.pid, "worker", w.n, "old_pid", old.pid)
	s.draining[old] = true
	old.tell(wordHandOver)
}

// ended decides what follows from the end of a worker.
func (s *Supervisor) ended(w *worker, code int, stopping bool) error {
	switch {
	case s.draining[w]:
		delete(s.draining, w)
		if code != 0 && s.code == 0 {
			s.code = code // cut at the deadline: said by the worker
		}
		if s.wanted && !stopping {
			s.replace()
		}
	case w == s.next:
		s.next = nil
		if !stopping && !s.replaced {
			s.Log.Error("a new worker ended before it served; the old one goes on", "code", code, "worker", w.n)
			s.later()
		}
	case w == s.current:
		s.current = nil
		if stopping || s.replaced {
			if code != 0 && s.code == 0 {
				s.code = code
			}
			return nil
		}
		if w.n == 1 && !w.ready {
			return &ExitError{Code: code}
		}
		s.Log.Error("the worker has died, another is started", "code", code, "pid", w.pid, "worker", w.n)
		if time.Since(w.since) > settled {
			s.delay = 0
			s.replace()
		} else if s.next == nil && s.retry == nil {
			s.later()
		}
	}
	return nil
}

// stop ends all workers: they drain.
func (s *Supervisor) stop() {
	NotifyStopping()
	s.wanted, s.retry = false, nil
	for _, w := range append([]*worker{s.current, s.next}, s.drainers()...) {
		if w != nil {
			w.tell(wordStop)
		}
	}
}

func (s *Supervisor) drainers() (list []*worker) {
	for w := range s.draining {
		list = append(list, w)
	}
	return list
}

func (s *Supervisor) signal(sig os.Signal, stopping bool) {
	switch {
	case stopping || s.replaced:
	case sig == Reload:
		NotifyReloading()
		for _, w := range []*worker{s.current, s.next} {
			if w != nil {
				w.tell(wordReload)
			}
		}
	case sig == Replace && s.successor == nil:
		s.successor = make(chan error, 1)
		go func() { s.successor <- HandOver(s.Sockets, s.Stdin, s.Log) }()
	}
}

// succeeded lets the workers drain when a successor serves.
func (s *Supervisor) succeeded(err error) {
	if err != nil {
		s.Log.Error("the program was not replaced, this one goes on: " + err.Error())
		return
	}
	s.replaced, s.wanted, s.retry = true, false, nil
	if s.next != nil {
		// It may serve already, without having been heard: readiness must not
		// fail on sockets that the successor serves.
		s.next.tell(wordHandOver)
	}
	if s.current != nil {
		s.current.tell(wordHandOver)
	}
}

// HandOver starts the program of this process anew, as it now lies on disk, and
// returns when the new process serves on the sockets. After an error this one
// must go on.
func HandOver(sockets *Sockets, stdin []byte, log *slog.Logger) error {
	if os.Getpid() == 1 {
		return errors.New("this is process 1 of a container, which ends with it; replace the container")
	}
	c, err := sockets.start(spec{role: Successor, stdin: stdin})
	if err != nil {
		return err
	}
	log.Info("a new process of the program is started", "pid", c.pid, "program", Program)
	ready := make(chan struct{})
	ended := make(chan int, 1)
	go func() {
		told := false
		listen(c.up, func(word string) {
			if word == wordReady && !told {
				told = true
				close(ready)
			}
		})
		ended <- c.wait()
		c.close()
	}()
	late := time.NewTimer(readyPatience)
	defer late.Stop()
	select {
	case <-ready:
		Notify(fmt.Sprintf("MAINPID=%d", c.pid))
		log.Warn("a new process serves, this one drains", "pid", c.pid)
		return nil
	case code := <-ended:
		return fmt.Errorf("the new process ended with code %d before it served", code)
	case <-late.C:
		c.kill()
		return fmt.Errorf("the new process did not serve within %s", readyPatience)
	}
}
