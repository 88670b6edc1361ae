package metrics

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// cellKey is all of a call that its labels depend on.
type cellKey struct {
	group, id, provider                       string // of the deployment
	key, user, team                           string // of the caller
	model, target, route, endUser, ip, agent  string
	custom                                    string
	input                                     string
	status                                    int
	class                                     call.Class
	kind                                      string // of the error
	stream, failed, fallback, served, unknown bool
}

// cell holds the series of all calls with one set of labels. They are resolved
// when a call first needs them.
type cell struct {
	values values
	series [metricCount]*series
}

// Record counts a batch of finished calls.
func (m *Metrics) Record(batch []call.Call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Now()
	for i := range batch {
		m.record(&batch[i], m.seconds(now))
		if m.system != nil {
			m.system.record(&batch[i])
		}
	}
	m.expire(now)
}

// expire forgets what was not used for long.
func (m *Metrics) expire(now time.Time) {
	const often = time.Minute
	if m.o.TTL <= 0 || now.Sub(m.expired) < min(often, m.o.TTL) {
		return
	}
	m.expired = now
	removed := false
	for _, f := range m.families {
		removed = f != nil && f.expire(m.seconds(now.Add(-m.o.TTL))) || removed
	}
	if removed {
		clear(m.cells)
	}
}

// find returns the cell of a call. The table of cells is bounded like the series
// behind it.
func (m *Metrics) find(c *call.Call, k cellKey, fill func(*values)) *cell {
	if found := m.cells[k]; found != nil {
		return found
	}
	if len(m.cells) >= 2*m.o.MaxSeries {
		clear(m.cells)
	}
	made := &cell{}
	v := &made.values
	v.caller(c)
	if m.o.EndUsers {
		v.fixed[endUser] = orNone(clean(c.EndUser))
	}
	if c.Labels != "" {
		v.custom = strings.Split(c.Labels, "\x00")
	}
	if m.o.InputLength {
		v.fixed[inputLength] = k.input
	}
	fill(v)
	k.model, k.endUser, k.ip, k.agent = strings.Clone(k.model), strings.Clone(k.endUser), strings.Clone(k.ip), strings.Clone(k.agent)
	k.custom, k.target, k.kind = strings.Clone(k.custom), strings.Clone(k.target), strings.Clone(k.kind)
	m.cells[k] = made
	return made
}

func (m *Metrics) key(c *call.Call, d *call.Deployment, err *call.Error) cellKey {
	k := cellKey{model: c.Model, route: c.Route, ip: c.ClientIP, agent: c.UserAgent, custom: c.Labels, stream: c.Stream, unknown: c.Deployment == nil}
	if m.o.EndUsers {
		k.endUser = c.EndUser
	}
	if m.o.InputLength {
		k.input = inputLengthOf(c.Usage.PromptTokens)
		if !c.Usage.Known {
			k.input = "unknown"
		}
	}
	if d != nil {
		k.group, k.id, k.target, k.provider = d.Group, d.ID, d.Model, d.Provider
	}
	if id := c.Caller; id != nil {
		k.key, k.user, k.team = id.KeyHash, id.UserID, id.TeamID
	}
	if err != nil {
		k.failed, k.status, k.class, k.kind = true, err.StatusCode(), err.Class, err.Type
	}
	return k
}

// on returns a cell's series of a metric; nil when it is not shown.
func (m *Metrics) on(c *cell, which id, now int64) *series {
	s := c.series[which]
	if s == nil {
		f := m.families[which]
		if f == nil {
			return nil
		}
		s = f.at(&c.values)
		c.series[which] = s
	}
	s.used = now
	return s
}

func (m *Metrics) inc(c *cell, which id, by float64, now int64) {
	if s := m.on(c, which, now); s != nil {
		s.add.Add(by)
	}
}

func (m *Metrics) incSome(c *cell, which id, by int64, now int64) {
	if by > 0 {
		m.inc(c, which, float64(by), now)
	}
}

func (m *Metrics) observe(c *cell, which id, d time.Duration, now int64) {
	if d < 0 {
		d = 0
	}
	if s := m.on(c, which, now); s != nil {
		s.observe.Observe(d.Seconds())
	}
}

// requested is the model name that a call asked for, if it is one of ours.
func (m *Metrics) requested(c *call.Call) string {
	switch {
	case c.Model == "" || c.Deployment != nil || m.o.Recognized(c.Model):
		return clean(c.Model)
	}
	return overflow
}

func (m *Metrics) record(c *call.Call, now int64) {
	for i := range c.FailedAttempts {
		if c.FailedAttempts[i].Err.Class != call.ClassClientGone {
			m.attempt(c, &c.FailedAttempts[i], now)
		}
	}
	switch {
	case len(c.FailedAttempts) > 0:
		m.fallbacks(c, now)
	case c.Fallbacks > 0 && c.Err == nil && c.Deployment != nil:
		m.passedOver(c, now)
	}
	// Who leaves before the end of an answer has been served: it is no failure of
	// anybody, and paid for as far as it went.
	failure := c.Err
	left := failure != nil && failure.Class == call.ClassClientGone
	if left && c.Deployment != nil && !c.FirstByte.IsZero() {
		failure = nil
	}
	k := m.key(c, c.Deployment, failure)
	k.status = statusOf(c, failure)
	k.served = true
	cell := m.find(c, k, func(v *values) {
		v.fixed[requestedModel] = m.requested(c)
		v.fixed[statusCode] = strconv.Itoa(k.status)
		if d := c.Deployment; d != nil {
			v.deployment(d, groupOf(c, d))
			if failure == nil {
				v.fixed[requestedModel] = groupOf(c, d) // where a fallback led
			}
		}
		if failure != nil {
			v.failure(c.Deployment, failure)
		}
	})
	m.inc(cell, totalRequests, 1, now)
	if left && failure != nil {
		return // gone before there was anything to serve
	}
	if failure != nil {
		m.inc(cell, failedRequests, 1, now)
		if len(c.FailedAttempts) == 0 {
			m.rejected(c, now)
		}
		if !c.Usage.Known {
			return
		}
		// A stream that broke has been paid for as far as it went.
		m.inc(cell, spend, c.Cost.Total, now)
		m.tokens(cell, &c.Usage, now)
		return
	}
	m.success(cell, c, now)
}

// statusOf is the status that a call counts under: a client that left had been
// answered.
func statusOf(c *call.Call, failure *call.Error) int {
	switch {
	case failure != nil && c.Status == 0:
		return failure.StatusCode()
	case failure == nil && c.Status == call.ClassClientGone.Status():
		return http.StatusOK
	}
	return c.Status
}

func (m *Metrics) success(cell *cell, c *call.Call, now int64) {
	m.inc(cell, requests, 1, now)
	m.inc(cell, spend, c.Cost.Total, now)
	m.tokens(cell, &c.Usage, now)
	m.incSome(cell, imagesMade, c.Usage.Images, now)
	total := c.End.Sub(c.Start)
	m.observe(cell, totalLatency, total, now)
	m.observe(cell, queueTime, c.Queued, now)
	switch {
	case c.Cached:
		m.inc(cell, cacheHits, 1, now)
		m.incSome(cell, cachedTokens, c.Usage.TotalTokens, now)
		if c.Deployment != nil {
			// As in LiteLLM, whose router chooses before it looks.
			m.perToken(cell, c, now)
			m.inc(cell, deploymentTotal, 1, now)
			m.inc(cell, deploymentSuccess, 1, now)
		}
		return
	case c.CacheMissed:
		m.inc(cell, cacheMisses, 1, now)
	}
	if c.Deployment == nil {
		return
	}
	m.observe(cell, apiLatency, c.UpstreamTime, now)
	m.observe(cell, overhead, total-c.UpstreamTime, now)
	m.observe(cell, overheadGuarded, total-c.UpstreamTime, now)
	m.incSome(cell, providerCacheRead, c.Usage.CachedTokens, now)
	m.incSome(cell, providerCacheWrite, c.Usage.CacheWriteTokens, now)
	if c.Stream {
		m.observe(cell, firstToken, c.FirstByte.Sub(c.End.Add(-c.UpstreamTime)), now)
	}
	m.perToken(cell, c, now)
	m.inc(cell, deploymentTotal, 1, now)
	m.inc(cell, deploymentSuccess, 1, now)
	m.set(cell, deploymentState, 0, now)
	if f, ok := number(c.RemainingRequests); ok {
		m.set(cell, remainingRequests, f, now)
	}
	if f, ok := number(c.RemainingTokens); ok {
		m.set(cell, remainingTokens, f, now)
	}
	if c.Deployment.TPM > 0 {
		m.set(cell, tpmLimit, c.Deployment.TPM, now)
	}
	if c.Deployment.RPM > 0 {
		m.set(cell, rpmLimit, c.Deployment.RPM, now)
	}
}

// perToken observes what one token of an answer took; of a stream, until it began.
func (m *Metrics) perToken(cell *cell, c *call.Call, now int64) {
	n := c.Usage.CompletionTokens
	if n <= 0 {
		return
	}
	whole := c.End.Sub(c.Start)
	if c.Stream {
		whole = c.FirstByte.Sub(c.Start)
	}
	m.observe(cell, perOutputToken, whole/time.Duration(n), now)
}

func (m *Metrics) set(c *cell, which id, to float64, now int64) {
	if s := m.on(c, which, now); s != nil {
		s.set.Set(to)
	}
}

func (m *Metrics) tokens(cell *cell, u *call.Usage, now int64) {
	m.inc(cell, totalTokens, float64(u.TotalTokens), now)
	m.inc(cell, inputTokens, float64(u.PromptTokens), now)
	m.inc(cell, outputTokens, float64(u.CompletionTokens), now)
	m.incSome(cell, inputCached, u.CachedTokens, now)
	m.incSome(cell, inputCacheWrite, u.CacheWriteTokens, now)
	m.incSome(cell, inputAudio, u.AudioInTokens, now)
	m.incSome(cell, outputReasoning, u.ReasoningTokens, now)
	m.incSome(cell, outputAudio, u.AudioOutTokens, now)
}

// attempt counts an attempt that failed.
func (m *Metrics) attempt(c *call.Call, a *call.FailedAttempt, now int64) {
	cell := m.find(c, m.key(c, a.Deployment, a.Err), func(v *values) {
		group := groupOf(c, a.Deployment)
		v.deployment(a.Deployment, group)
		v.failure(a.Deployment, a.Err)
		v.fixed[requestedModel] = group
	})
	m.inc(cell, apiFailed, 1, now)
	m.inc(cell, deploymentTotal, 1, now)
	m.inc(cell, deploymentFailure, 1, now)
	if until, cooling := m.cooling[a.Deployment.ID]; cooling {
		if m.o.Now().Before(until) {
			return // it is left out, which the attempt has led to
		}
		delete(m.cooling, a.Deployment.ID)
	}
	m.set(cell, deploymentState, 1, now)
}

// rejected counts a call that reached no deployment.
func (m *Metrics) rejected(c *call.Call, now int64) {
	k := m.key(c, nil, c.Err)
	k.unknown = true
	cell := m.find(c, k, func(v *values) {
		m.nowhere(v, c)
		v.failure(nil, c.Err)
	})
	m.inc(cell, apiFailed, 1, now)
	m.inc(cell, deploymentTotal, 1, now)
	m.inc(cell, deploymentFailure, 1, now)
}

// passedOver counts a call that another group answered because its own had no
// deployment to ask.
func (m *Metrics) passedOver(c *call.Call, now int64) {
	to := c.Deployment.Group
	if to == c.Model || !m.o.Recognized(c.Model) {
		return // a move within the group
	}
	k := m.key(c, nil, nil)
	k.fallback, k.target, k.unknown = true, to, true
	cell := m.find(c, k, func(v *values) {
		v.fixed[requestedModel] = m.requested(c)
		v.fixed[fallbackModel] = to
		v.fixed[exceptionClass] = "RouterRateLimitError"
	})
	m.inc(cell, fallbackSuccess, 1, now)
	k.target, k.served = "", true
	cell = m.find(c, k, func(v *values) {
		m.nowhere(v, c)
		v.fixed[exceptionClass] = "RouterRateLimitError"
	})
	m.inc(cell, apiFailed, 1, now)
	m.inc(cell, deploymentTotal, 1, now)
	m.inc(cell, deploymentFailure, 1, now)
}

// nowhere fills in what is known of a call that reached no deployment.
func (m *Metrics) nowhere(v *values, c *call.Call) {
	for _, l := range []label{modelGroup, litellmModelName, modelID, apiBase, apiProvider} {
		v.fixed[l] = ""
	}
	v.fixed[requestedModel] = m.requested(c)
	v.fixed[model] = m.requested(c)
	if c.Model != "" && m.o.Recognized(c.Model) {
		v.fixed[modelGroup] = clean(c.Model)
	}
}

// fallbacks counts moves to other model groups.
func (m *Metrics) fallbacks(c *call.Call, now int64) {
	first := &c.FailedAttempts[0]
	count := func(which id, to string) {
		k := m.key(c, first.Deployment, first.Err)
		k.fallback, k.target = true, to
		cell := m.find(c, k, func(v *values) {
			v.fixed[requestedModel] = m.requested(c)
			v.fixed[fallbackModel] = to
			v.failure(first.Deployment, first.Err)
		})
		m.inc(cell, which, 1, now)
	}
	before := first.Deployment.Group
	for i := range c.FailedAttempts {
		if g := c.FailedAttempts[i].Deployment.Group; g != before {
			count(fallbackFailure, g)
			before = g
		}
	}
	if d := c.Deployment; c.Err == nil && d != nil && d.Group != before {
		count(fallbackSuccess, d.Group)
	}
}
