package mock

import (
	"encoding/json"
	"sync/atomic"
)

type route uint8

const (
	routeChat route = iota
	routeCompletions
	routeEmbeddings
	routeResponses
	routeCount
)

var routeNames = [routeCount]string{"chat", "completions", "embeddings", "responses"}

// counters are what GET /__stats shows. Requests to the counters themselves and
// to health routes are not counted.
type counters struct {
	routes   [routeCount]atomic.Uint64
	models   atomic.Uint64
	media    atomic.Uint64 // images, sound, moderations, reranking
	notFound atomic.Uint64
	invalid  atomic.Uint64
	unread   atomic.Uint64
	limited  atomic.Uint64

	bytesIn  atomic.Uint64
	bytesOut atomic.Uint64

	answered  atomic.Uint64 // whole answers without a stream
	started   atomic.Uint64
	completed atomic.Uint64
	cancelled atomic.Uint64
	events    atomic.Uint64
	inflight  atomic.Int64
	faults    [faultCount]atomic.Uint64

	prompt     atomic.Uint64
	completion atomic.Uint64
}

// Stats are the mock's own counts, for comparison with those of the tool that
// measured it and of the gateway in between.
type Stats struct {
	Schema    string            `json:"schema"`
	Requests  uint64            `json:"requests"` // all model routes together
	Routes    map[string]uint64 `json:"routes"`
	Answered  uint64            `json:"answered"`
	Streams   StreamStats       `json:"streams"`
	Faults    map[string]uint64 `json:"faults"`
	Invalid   uint64            `json:"invalid"`
	Limited   uint64            `json:"limited"`
	NotFound  uint64            `json:"not_found"`
	InFlight  int64             `json:"in_flight"`
	BytesIn   uint64            `json:"bytes_in"`
	BytesOut  uint64            `json:"bytes_out"`
	Tokens    TokenStats        `json:"tokens"`
	ModelList uint64            `json:"model_list"`
	Media     uint64            `json:"media"` // images, sound, moderations, reranking
}

// StreamStats count streams by how they ended.
type StreamStats struct {
	Started   uint64 `json:"started"`
	Completed uint64 `json:"completed"`
	Cancelled uint64 `json:"cancelled"` // the client left, or the mock was closed
	Events    uint64 `json:"events"`    // written, [DONE] not among them
}

// TokenStats are the usage of all answers that were sent whole.
type TokenStats struct {
	Prompt     uint64 `json:"prompt"`
	Completion uint64 `json:"completion"`
}

// Stats reads the counters.
func (m *Mock) Stats() Stats { return m.stats.read() }

func (c *counters) read() Stats {
	s := Stats{
		Schema: "llmgw.mock.stats/1", Routes: map[string]uint64{}, Faults: map[string]uint64{},
		Answered: c.answered.Load(), Invalid: c.invalid.Load() + c.unread.Load(), Limited: c.limited.Load(),
		NotFound: c.notFound.Load(), InFlight: c.inflight.Load(), BytesIn: c.bytesIn.Load(), BytesOut: c.bytesOut.Load(),
		ModelList: c.models.Load(), Media: c.media.Load(),
		Streams: StreamStats{
			Started: c.started.Load(), Completed: c.completed.Load(),
			Cancelled: c.cancelled.Load(), Events: c.events.Load(),
		},
		Tokens: TokenStats{Prompt: c.prompt.Load(), Completion: c.completion.Load()},
	}
	for i := range c.routes {
		n := c.routes[i].Load()
		s.Routes[routeNames[i]] = n
		s.Requests += n
	}
	for i := range c.faults {
		if n := c.faults[i].Load(); n > 0 {
			s.Faults[faultNames[i]] = n
		}
	}
	return s
}

func (c *counters) json() []byte {
	b, err := json.MarshalIndent(c.read(), "", "  ")
	if err != nil {
		panic(err) // numbers and fixed names always encode
	}
	return append(b, '\n')
}

func (c *counters) reset() {
	for _, n := range []*atomic.Uint64{
		&c.models, &c.media, &c.notFound, &c.invalid, &c.unread, &c.limited, &c.bytesIn, &c.bytesOut,
		&c.answered, &c.started, &c.completed, &c.cancelled, &c.events, &c.prompt, &c.completion,
	} {
		n.Store(0)
	}
	for i := range c.routes {
		c.routes[i].Store(0)
	}
	for i := range c.faults {
		c.faults[i].Store(0)
	}
}
