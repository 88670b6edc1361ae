package cache

import (
	"container/list"
	"sync"
	"time"
)

// memory keeps entries within a number of bytes, and drops those that have not
// been asked for longest. It is divided so that requests seldom wait for each
// other.
type memory struct {
	shards [16]shard
	limit  int64 // of one shard
	item   int64 // of one entry's body; 0: none
}

type shard struct {
	mu    sync.Mutex
	by    map[string]*list.Element
	order list.List // the latest first
	bytes int64
}

type kept struct {
	key   string
	e     *entry
	until time.Time // of this level, on the monotonic clock
	bytes int64
}

// overhead is about what an entry costs beside its key and body.
const overhead = 256

func newMemory(size, item int64) *memory {
	m := &memory{limit: max(size/16, 1), item: item}
	for i := range m.shards {
		m.shards[i].by = map[string]*list.Element{}
	}
	return m
}

func (m *memory) shard(key string) *shard {
	// The end of a key is hexadecimal digits of a hash.
	n := 0
	if len(key) > 0 {
		n = int(key[len(key)-1])
	}
	return &m.shards[(n^n>>4)%len(m.shards)]
}

func (m *memory) get(key string) *entry {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	el := s.by[key]
	if el == nil {
		return nil
	}
	k := el.Value.(*kept)
	if !time.Now().Before(k.until) {
		s.drop(el)
		return nil
	}
	s.order.MoveToFront(el)
	return k.e
}

func (m *memory) set(key string, e *entry, ttl time.Duration) {
	size := int64(len(key)+len(e.body)) + overhead
	if ttl <= 0 || size > m.limit || m.item > 0 && int64(len(e.body)) > m.item {
		return
	}
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.by[key]; el != nil {
		s.drop(el)
	}
	s.by[key] = s.order.PushFront(&kept{key: key, e: e, until: time.Now().Add(ttl), bytes: size})
	s.bytes += size
	for s.bytes > m.limit {
		s.drop(s.order.Back())
	}
}

func (s *shard) drop(el *list.Element) {
	k := s.order.Remove(el).(*kept)
	delete(s.by, k.key)
	s.bytes -= k.bytes
}

func (m *memory) delete(key string) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if el := s.by[key]; el != nil {
		s.drop(el)
	}
}

func (m *memory) clear() {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		clear(s.by)
		s.order.Init()
		s.bytes = 0
		s.mu.Unlock()
	}
}

func (m *memory) size() (entries int, bytes int64) {
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		entries += len(s.by)
		bytes += s.bytes
		s.mu.Unlock()
	}
	return entries, bytes
}
