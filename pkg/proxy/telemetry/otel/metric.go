package otel

import (
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// instrument is a histogram of the conventions for generative AI, or one that
// LiteLLM has beside them.
type instrument struct {
	name, unit, about string
	bounds            []float64
}

const (
	tokenUsage = iota
	duration
	cost
	firstToken
	perToken
	response
	instruments // their number
)

var (
	seconds = []float64{0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	known   = [instruments]instrument{
		{"gen_ai.client.token.usage", "{token}", "Tokens read and written.", []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}},
		{"gen_ai.client.operation.duration", "s", "How long calls took.", seconds},
		{"gen_ai.usage.cost", "USD", "What calls cost.", []float64{0.00001, 0.0001, 0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}},
		{"gen_ai.server.time_to_first_token", "s", "From a stream's request to its first event.", []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}},
		{"gen_ai.server.time_per_output_token", "s", "How long each token took after the first.", []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5}},
		{"gen_ai.client.response.duration", "s", "How long upstreams took.", seconds},
	}
)

// maxPoints bounds the attribute sets of one instrument: clients choose model
// names where the configuration has wildcards.
const maxPoints = 2000

type pointKey struct {
	operation, provider, model, failure string
	answered                            string // the model as the upstream calls it
	token                               string // input or output
	overflow                            bool
}

type point struct {
	key     pointKey
	buckets []uint64
	count   uint64
	sum     float64
}

// meter keeps histograms, which only grow. It belongs to one goroutine at a time.
type meter struct {
	start  time.Time
	delta  bool // it is told of once; another counts on
	points [instruments]map[pointKey]*point
}

func (m *meter) empty() bool {
	for _, points := range m.points {
		if len(points) > 0 {
			return false
		}
	}
	return true
}

// join adds what another meter has counted before.
func (m *meter) join(before *meter) {
	m.start = before.start
	for i, points := range before.points {
		for k, p := range points {
			if q := m.points[i][k]; q != nil {
				for j, n := range p.buckets {
					q.buckets[j] += n
				}
				q.count, q.sum = q.count+p.count, q.sum+p.sum
			} else if len(m.points[i]) <= maxPoints {
				m.points[i][k] = p
			}
		}
	}
}

func newMeter(now time.Time) *meter {
	m := &meter{start: now}
	for i := range m.points {
		m.points[i] = map[pointKey]*point{}
	}
	return m
}

func (m *meter) observe(which int, k pointKey, v float64) {
	p := m.points[which][k]
	if p == nil {
		if len(m.points[which]) >= maxPoints {
			k = pointKey{overflow: true}
			p = m.points[which][k]
		}
		if p == nil {
			k.model = strings.Clone(strings.ToValidUTF8(k.model, "\uFFFD"))
			k.answered = strings.ToValidUTF8(k.answered, "\uFFFD")
			p = &point{key: k, buckets: make([]uint64, len(known[which].bounds)+1)}
			m.points[which][k] = p
		}
	}
	i := 0
	for i < len(known[which].bounds) && v > known[which].bounds[i] {
		i++
	}
	p.buckets[i]++
	p.count++
	p.sum += v
}

// record counts a finished call.
func (m *meter) record(c *call.Call) {
	d := c.Deployment
	if d == nil || c.Cached {
		return
	}
	k := pointKey{operation: call.OperationOf(c.Route).GenAI, provider: d.Provider, model: d.Model}
	if c.Err != nil {
		k.failure = c.Err.Class.String()
	}
	if c.Trace != nil {
		k.answered = c.Trace.Model
	}
	m.observe(duration, k, c.End.Sub(c.Start).Seconds())
	if u := &c.Usage; u.Known {
		in, out := k, k
		in.token, out.token = "input", "output"
		m.observe(tokenUsage, in, float64(u.PromptTokens))
		m.observe(tokenUsage, out, float64(u.CompletionTokens))
	}
	if c.Cost.Known {
		m.observe(cost, k, c.Cost.Total)
	}
	if c.Err != nil || c.UpstreamStart.IsZero() {
		return
	}
	m.observe(response, k, c.UpstreamTime.Seconds())
	whole := c.UpstreamTime
	if c.Stream && !c.FirstByte.IsZero() {
		first := c.FirstByte.Sub(c.UpstreamStart)
		m.observe(firstToken, k, first.Seconds())
		whole -= first
	}
	if n := c.Usage.CompletionTokens; n > 0 {
		m.observe(perToken, k, whole.Seconds()/float64(n))
	}
}

// encode writes what was counted as ScopeMetrics' metrics.
func (m *meter) encode(to *message, now time.Time) {
	for i := range known {
		if len(m.points[i]) == 0 {
			continue
		}
		to.nested(2, func(to *message) {
			to.text(1, known[i].name)
			to.text(2, known[i].about)
			to.text(3, known[i].unit)
			to.nested(9, func(to *message) {
				for _, p := range m.points[i] {
					to.nested(1, func(to *message) { p.encode(to, m.start, now, known[i].bounds) })
				}
				temporality := uint64(2) // cumulative
				if m.delta {
					temporality = 1
				}
				to.varint(2, temporality)
			})
		})
	}
}

func (p *point) encode(to *message, start, now time.Time, bounds []float64) {
	to.fixed64(2, nanos(start))
	to.fixed64(3, nanos(now))
	to.fixed64(4, p.count)
	to.double(5, p.sum)
	for _, n := range p.buckets {
		to.fixed64(6, n)
	}
	for _, b := range bounds {
		to.double(7, b)
	}
	to.attributes(9, p.key.attributes())
}

func (k pointKey) attributes() []attr {
	if k.overflow {
		return []attr{{"otel.metric.overflow", true}}
	}
	list := []attr{
		{"gen_ai.operation.name", k.operation}, {"gen_ai.provider.name", providerName(k.provider)}, {"gen_ai.system", k.provider},
		{"gen_ai.request.model", k.model}, {"gen_ai.framework", "litellm"},
	}
	if k.answered != "" {
		list = append(list, attr{"gen_ai.response.model", k.answered})
	}
	if k.token != "" {
		list = append(list, attr{"gen_ai.token.type", k.token})
	}
	if k.failure != "" {
		list = append(list, attr{"error.type", k.failure})
	}
	return list
}
