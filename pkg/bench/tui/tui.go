package tui

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"golang.org/x/term"

	"github.com/llmgw/llmgw/pkg/bench"
)

// The smallest terminal the screen is drawn in.
const (
	minWidth  = 60
	minHeight = 15
)

// Fits reports whether a terminal is large enough for the screen.
func Fits(f *os.File) bool {
	w, h, err := term.GetSize(int(f.Fd()))
	return err == nil && w >= minWidth && h >= minHeight
}

// Options say where the screen is drawn and keys are read.
type Options struct {
	Output io.Writer
	Input  io.Reader
	Colour bool
}

// RunFunc is bench.Run, or what a test puts in its place.
type RunFunc func(ctx context.Context, p bench.Plan) (*bench.Report, error)

// Run runs the plan under the screen. q or ^C drains and reports; a second one
// gives up waiting. The screen is gone when Run returns.
func Run(ctx context.Context, opt Options, p bench.Plan, run RunFunc) (*bench.Report, error) {
	inner, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	m := newModel(&p, opt.Colour, func() { cancel(ErrQuit) })
	prog := tea.NewProgram(m, tea.WithOutput(opt.Output), tea.WithInput(opt.Input), tea.WithAltScreen(),
		tea.WithoutSignalHandler(), tea.WithFPS(int(max(1, min(30, time.Second/p.Refresh)))))

	// The run never waits for the screen: it leaves its latest state and goes on.
	var latest mailbox
	p.Observe = latest.put
	type outcome struct {
		rep *bench.Report
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		rep, err := run(inner, p)
		latest.close()
		done <- outcome{rep, err}
		prog.Send(finishedMsg{})
	}()
	go func() {
		for {
			s, ok := latest.get()
			if !ok {
				return
			}
			prog.Send(snapshotMsg(s))
		}
	}()
	_, uiErr := prog.Run()
	if uiErr != nil && !errors.Is(uiErr, tea.ErrProgramKilled) {
		cancel(uiErr)
	}
	o := <-done
	return o.rep, o.err
}

// ErrQuit is the cause with which a run ends that was stopped from the keyboard.
var ErrQuit = errors.New("stopped from the keyboard")

// mailbox holds the latest snapshot; an older one that nobody took is dropped.
type mailbox struct {
	once   sync.Once
	mu     sync.Mutex
	cond   *sync.Cond
	s      bench.Snapshot
	full   bool
	closed bool
}

func (b *mailbox) init() { b.once.Do(func() { b.cond = sync.NewCond(&b.mu) }) }

func (b *mailbox) put(s bench.Snapshot) {
	b.init()
	b.mu.Lock()
	b.s, b.full = s, true
	b.mu.Unlock()
	b.cond.Signal()
}

func (b *mailbox) get() (bench.Snapshot, bool) {
	b.init()
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.full && !b.closed {
		b.cond.Wait()
	}
	b.full = false
	return b.s, !b.closed
}

func (b *mailbox) close() {
	b.init()
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cond.Signal()
}
