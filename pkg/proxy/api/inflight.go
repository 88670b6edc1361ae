package api

import (
	"math/rand/v2"
	"sync/atomic"
)

// inFlight counts requests without a cache line that every CPU writes.
type inFlight struct {
	slots [16]inFlightSlot
}

type inFlightSlot struct {
	n atomic.Int64
	_ [56]byte
}

func (f *inFlight) enter() *inFlightSlot {
	s := &f.slots[rand.Uint32()%uint32(len(f.slots))] //nolint:gosec // spreads writes, no secret
	s.n.Add(1)
	return s
}

func (s *inFlightSlot) leave() { s.n.Add(-1) }

func (f *inFlight) sum() (n int64) {
	for i := range f.slots {
		n += f.slots[i].n.Load()
	}
	return n
}
