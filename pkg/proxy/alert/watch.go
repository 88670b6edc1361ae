package alert

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// watch knows the calls that are not finished, to find those that hang. It is in
// shards, so that calls do not wait for each other.
type watch struct {
	shards [16]watchShard
	pool   sync.Pool
}

type watchShard struct {
	mu   sync.Mutex
	open map[*pending]struct{}
	_    [40]byte
}

type pending struct {
	shard *watchShard
	model string
	begin time.Time
	told  bool
	// paged says that PagerDuty has counted it; caller and route are for it.
	paged  bool
	caller *call.Identity
	route  string
}

var _ call.Watcher = (*Alerts)(nil)

// Begin implements call.Watcher.
func (a *Alerts) Begin(c *call.Call) any {
	p, _ := a.watch.pool.Get().(*pending)
	if p == nil {
		p = &pending{}
	}
	s := &a.watch.shards[rand.Uint32()%uint32(len(a.watch.shards))] //nolint:gosec // spreads load, no secret
	p.shard, p.model, p.begin, p.told = s, c.Model, c.Start, false
	p.paged, p.caller, p.route = false, c.Caller, c.Route
	s.mu.Lock()
	if s.open == nil {
		s.open = map[*pending]struct{}{}
	}
	s.open[p] = struct{}{}
	s.mu.Unlock()
	return p
}

// End implements call.Watcher.
func (a *Alerts) End(token any) {
	p := token.(*pending)
	p.shard.mu.Lock()
	delete(p.shard.open, p)
	p.shard.mu.Unlock()
	p.model, p.caller, p.route = "", nil, ""
	a.watch.pool.Put(p)
}

// hanging raises an alert for every call that has had no end for too long; once
// for each.
func (a *Alerts) hanging() {
	tell := a.wants(Hanging)
	if !tell && a.o.Pager == nil {
		return
	}
	now := time.Now()
	for i := range a.watch.shards {
		s := &a.watch.shards[i]
		var models []string
		var paged []event
		s.mu.Lock()
		for p := range s.open {
			if tell && !p.told && now.Sub(p.begin) > a.o.Threshold {
				p.told = true
				models = append(models, p.model)
			}
			if a.o.Pager != nil && !p.paged && now.Sub(p.begin) > a.pager.o.HangingAfter {
				p.paged = true
				paged = append(paged, hangingEvent(p))
			}
		}
		s.mu.Unlock()
		for _, model := range models {
			what := request(model, nil)
			a.raise(Hanging, "Medium", "`Requests are hanging - "+seconds(a.o.Threshold)+"s+ request time`"+what+"\nKey Alias: ``\nTeam Alias: ``", what)
		}
		for _, e := range paged {
			a.pager.hangs.add(time.Now(), e)
		}
	}
}
