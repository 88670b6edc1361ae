package proxy

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheCollectorLeavesRoomForGarbageNotMore(t *testing.T) {
	for _, tt := range []struct {
		live uint64
		want int
	}{{0, 400}, {1 << 20, 400}, {6 << 20, 400}, {8 << 20, 300}, {16 << 20, 100}, {24 << 20, 30}, {48 << 20, 20}, {1 << 40, 20}} {
		if got := gcPercent(tt.live); got != tt.want {
			t.Errorf("%d bytes alive: %d percent, want %d", tt.live, got, tt.want)
		}
	}
}

func TestTheCollectorFollowsTheHeap(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	tuneCollector()
	percent := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	held := make([]byte, 100<<20)
	for range 100 { // a finalizer runs some time after its collection
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
		if percent() == gcMinPercent {
			break
		}
	}
	if got := percent(); got != gcMinPercent {
		t.Errorf("%d percent with 100 MB alive", got)
	}
	runtime.KeepAlive(held)
}
