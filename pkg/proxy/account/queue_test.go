package account

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryCallThatIsTakenArrivesOnce(t *testing.T) {
	for _, c := range []struct {
		name             string
		writers, each    int
		capacity         int
		delay, slow      time.Duration
		mayRefuse, flush bool
	}{
		{name: "one writer", writers: 1, each: 100},
		{name: "many writers", writers: 32, each: 500},
		{name: "a queue that never waits", writers: 8, each: 100, delay: time.Nanosecond},
		{name: "flushed between", writers: 4, each: 200, delay: time.Hour, flush: true},
		{name: "a sink slower than its writers", writers: 8, each: 50, capacity: 32, delay: time.Millisecond, slow: time.Millisecond, mayRefuse: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var (
				seen    []string // only the sink's goroutine, until Close
				refused atomic.Int64
				busy    atomic.Bool
			)
			q := NewQueue(Options{
				Capacity: c.capacity, Delay: c.delay,
				Refused: func(*call.Call) { refused.Add(1) },
				Sink: func(batch []call.Call) {
					if !busy.CompareAndSwap(false, true) {
						t.Error("two batches at once")
					}
					defer busy.Store(false)
					for i := range batch {
						seen = append(seen, batch[i].ID)
					}
					time.Sleep(c.slow)
				},
			})
			var wait sync.WaitGroup
			for w := range c.writers {
				wait.Go(func() {
					for i := range c.each {
						one := call.Call{ID: fmt.Sprintf("%d-%d", w, i)}
						q.Record(&one)
						one.ID = "reused" // the caller goes on with its value
						if c.flush && i%50 == 0 {
							q.Flush()
						}
					}
				})
			}
			wait.Wait()
			q.Close()
			total := c.writers * c.each
			if int64(len(seen))+q.Refused() != int64(total) {
				t.Errorf("%d arrived, %d refused, of %d", len(seen), q.Refused(), total)
			}
			if refused.Load() != q.Refused() || !c.mayRefuse && q.Refused() > 0 {
				t.Errorf("refused %d, told of %d", q.Refused(), refused.Load())
			}
			slices.Sort(seen)
			if len(slices.Compact(slices.Clone(seen))) != len(seen) || slices.Contains(seen, "reused") {
				t.Error("a call arrived twice, or changed after it was handed over")
			}
		})
	}
}

func TestAQueueThatStandsStillRefusesAndNeverBlocks(t *testing.T) {
	hold, begun := make(chan struct{}), make(chan struct{}, 1)
	q := NewQueue(Options{Capacity: 1, Delay: time.Nanosecond, Sink: func([]call.Call) {
		select {
		case begun <- struct{}{}:
		default:
		}
		<-hold
	}})
	q.Record(&call.Call{})
	<-begun
	for range 5_000 { // would hang here if it blocked
		q.Record(&call.Call{})
	}
	if q.Refused() == 0 {
		t.Error("nothing was refused while nothing was taken")
	}
	close(hold)
	q.Close()
}

func TestFlushHandsOverWhatWaitsAndEndsWithTheQueue(t *testing.T) {
	var got atomic.Int64
	q := NewQueue(Options{Delay: time.Hour, Sink: func(batch []call.Call) { got.Add(int64(len(batch))) }})
	q.Record(&call.Call{})
	q.Record(&call.Call{})
	q.Flush()
	if got.Load() != 2 {
		t.Errorf("%d handed over, want 2", got.Load())
	}
	q.Flush()
	q.Close()
	q.Flush() // after the end there is nothing to wait for
	if got.Load() != 2 {
		t.Errorf("%d handed over, want 2", got.Load())
	}
}

func TestTotalsTellModelsApart(t *testing.T) {
	d := &call.Deployment{}
	var totals Totals
	totals.Add([]call.Call{
		{Model: "a", Deployment: d, Usage: call.Usage{PromptTokens: 3, CompletionTokens: 5}},
		{Model: "a", Deployment: d, Err: &call.Error{}},
		{Model: "b", Deployment: d, Usage: call.Usage{PromptTokens: 1}},
		{Model: "anything a client invents", Err: &call.Error{}},
	})
	got := totals.Snapshot()
	want := map[string]Count{
		"a": {Requests: 2, Failed: 1, PromptTokens: 3, CompletionTokens: 5},
		"b": {Requests: 1, PromptTokens: 1},
		"":  {Requests: 1, Failed: 1},
	}
	if len(got) != len(want) {
		t.Errorf("got %v", got)
	}
	for name, n := range want {
		if got[name] != n {
			t.Errorf("%q: %+v, want %+v", name, got[name], n)
		}
	}
	got["a"] = Count{}
	if totals.Snapshot()["a"] == (Count{}) {
		t.Error("a snapshot is not a copy")
	}
	if taken := totals.Take(); len(taken) != 3 || len(totals.Snapshot()) != 0 {
		t.Errorf("took %v, left %v", taken, totals.Snapshot())
	}
}

func TestInventedModelNamesDoNotFillTheMemory(t *testing.T) {
	d := &call.Deployment{}
	var totals Totals
	for i := range 3 * maxModels {
		totals.Add([]call.Call{{Model: fmt.Sprint("openai/", i), Deployment: d}})
	}
	totals.Add([]call.Call{{Model: "openai/0", Deployment: d}})
	got := totals.Snapshot()
	var sum int64
	for _, n := range got {
		sum += n.Requests
	}
	if len(got) > maxModels+1 || sum != 3*maxModels+1 || got["openai/0"].Requests != 2 {
		t.Errorf("%d names, %d requests, %d of a known one", len(got), sum, got["openai/0"].Requests)
	}
}
