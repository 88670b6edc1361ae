package cache

import (
	"testing"
	"time"
)

func TestEntriesBeyondTheirSizeAreNotKept(t *testing.T) {
	for _, tt := range []struct {
		name       string
		item, body int64
		kept       bool
	}{
		{"without a size what fits is kept", 0, 40 << 10, true},
		{"what is as long as it may be is kept", 1 << 10, 1 << 10, true},
		{"what is longer is not", 1 << 10, 1<<10 + 1, false},
		{"what does not fit is not", 0, 2 << 20, false},
	} {
		m := newMemory(1<<20, tt.item)
		m.set("key", &entry{body: make([]byte, tt.body)}, time.Minute)
		if got := m.get("key") != nil; got != tt.kept {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
