package supervise

import (
	"bufio"
	"io"
	"os"
	"sync"
)

// Role is what a process is to the one that has started it.
type Role string

// The roles of a process.
const (
	// Alone was started by nobody of ours.
	Alone Role = ""
	// Worker serves for a supervisor. FirstWorker is the one that speaks to
	// whoever has started the supervisor.
	Worker      Role = "worker"
	FirstWorker Role = "first-worker"
	// Successor takes the place of the process that has started it.
	Successor Role = "successor"
)

// Words that travel between the processes, a line each.
const (
	wordReady    = "ready"    // up: requests are served
	wordEnough   = "enough"   // up: as many requests were served as a worker shall
	wordReloaded = "reloaded" // up: the configuration was read anew
	wordDraining = "draining" // up: was asked to drain before the end
	wordDrain    = "drain"    // down: another was asked to
	wordHandOver = "handover" // down: another serves, finish what is in flight
	wordReload   = "reload"   // down
	wordStop     = "stop"     // down: drain and end
)

// Inherited is what a process was given by the one that has started it.
type Inherited struct {
	Role Role
	// Sockets are those that were given; never nil.
	Sockets *Sockets
	// FromManager says that a service manager gave them.
	FromManager bool

	up, down *os.File
	once     sync.Once
}

// Works reports whether the process is a worker.
func (i *Inherited) Works() bool { return i.Role == Worker || i.Role == FirstWorker }

// Ready tells the starter that requests are served.
func (i *Inherited) Ready() { i.tell(wordReady) }

// Reloaded tells the starter that a reload is over.
func (i *Inherited) Reloaded() { i.tell(wordReloaded) }

// Enough tells the starter, once, that it may start another.
func (i *Inherited) Enough() { i.once.Do(func() { i.tell(wordEnough) }) }

// Draining tells the starter that the instance as a whole was asked to drain.
func (i *Inherited) Draining() { i.tell(wordDraining) }

func (i *Inherited) tell(word string) {
	if i.up != nil {
		_, _ = i.up.WriteString(word + "\n") // a starter that is gone needs no word
	}
}

// Orders are what a worker does when it is told to.
type Orders struct {
	// HandOver: another process serves on the sockets.
	HandOver func()
	Reload   func()
	// Drain: the instance is about to end, readiness fails.
	Drain func()
	// Stop is called for the end, also when the supervisor is gone.
	Stop func()
}

// Follow carries out orders until the supervisor is gone. It returns at once
// for a process that is no worker.
func (i *Inherited) Follow(o Orders) {
	if !i.Works() || i.down == nil {
		return
	}
	lines := bufio.NewScanner(i.down)
	for lines.Scan() {
		switch lines.Text() {
		case wordHandOver:
			o.HandOver()
		case wordReload:
			o.Reload()
		case wordDrain:
			o.Drain()
		case wordStop:
			o.Stop()
		}
	}
	o.Stop()
}

// listen reads words until the other side is gone.
func listen(r io.Reader, word func(string)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		word(lines.Text())
	}
}
