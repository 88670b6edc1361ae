package cmd

import (
	"time"

	"github.com/llmgw/llmgw/pkg/proxy"
)

// settler gives memory back a moment after something has needed much of it: the
// start, doctor's rules beside it, a reload.
type settler struct{ timer *time.Timer }

func newSettler() *settler {
	s := &settler{time.AfterFunc(time.Hour, proxy.SettleMemory)}
	s.timer.Stop()
	return s
}

// after does it when d has passed without another wish for it.
func (s *settler) after(d time.Duration) { s.timer.Reset(d) }

func (s *settler) stop() { s.timer.Stop() }

// aMoment is long enough that what was asked for is not slower for it.
const aMoment = 100 * time.Millisecond
