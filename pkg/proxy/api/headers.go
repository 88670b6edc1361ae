package api

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// answerHeaders are the same for every answer of a call.
type answerHeaders struct {
	litellmVersion, llmgwVersion []string
}

func newAnswerHeaders(o *Options) (h answerHeaders) {
	if o.HideVersions {
		return h
	}
	if o.Emulated != "" {
		h.litellmVersion = []string{o.Emulated}
	}
	if o.Build != "" {
		h.llmgwVersion = []string{o.Build}
	}
	return h
}

// DeploymentHeaders returns the headers that name d in an answer.
func DeploymentHeaders(d *call.Deployment) http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"X-Litellm-Model-Id":       d.ID,
		"X-Litellm-Model-Api-Base": strings.SplitN(d.APIBase, "?", 2)[0],
		"X-Litellm-Model-Name":     modelName(d),
	} {
		if value != "" {
			h[name] = []string{value}
		}
	}
	return h
}

// modelName is what a deployment calls upstream, provider included; empty for a
// wildcard, which only a request completes.
func modelName(d *call.Deployment) string {
	if d.Provider == "" || strings.Contains(d.Model, "*") {
		return ""
	}
	return d.Provider + "/" + d.Model
}

// small are the texts of the counters that nearly every answer has.
var small = func() (out [16][]string) {
	for i := range out {
		out[i] = []string{strconv.Itoa(i)}
	}
	return out
}()

func count(n int) []string {
	if n >= 0 && n < len(small) {
		return small[n]
	}
	return []string{strconv.Itoa(n)}
}

// values are the header values of one answer that no other shares, in memory
// that is reused: net/http copies a header when it is written.
type values struct {
	space [12]string
	n     int
	text  []byte
}

func (v *values) reset() {
	v.space = [12]string{}
	v.n = 0
}

func (v *values) one(s string) []string {
	if v.n == len(v.space) {
		return []string{s}
	}
	v.space[v.n] = s
	v.n++
	return v.space[v.n-1 : v.n : v.n]
}

// callHeaders sets the headers that every answer of a call has, failed ones
// included.
func (a *API) callHeaders(h http.Header, c *call.Call, v *values) {
	h["X-Litellm-Call-Id"] = v.one(c.ID)
	if a.answer.litellmVersion != nil {
		h["X-Litellm-Version"] = a.answer.litellmVersion
	}
	if a.answer.llmgwVersion != nil {
		h["X-Llmgw-Version"] = a.answer.llmgwVersion
	}
	if d := c.Deployment; d != nil {
		for name, value := range d.Answer {
			h[name] = value
		}
		if d.Answer["X-Litellm-Model-Name"] == nil {
			h["X-Litellm-Model-Name"] = v.one(d.Provider + "/" + d.Model)
		}
		h["X-Litellm-Model-Group"] = v.one(c.ServedBy())
	}
	v.costHeaders(h, c)
	h["X-Litellm-Attempted-Retries"] = count(c.Retries)
	h["X-Litellm-Attempted-Fallbacks"] = count(c.Fallbacks)
	if len(c.Failures) > 0 {
		h["X-Litellm-Fallback-Errors"] = []string{fallbackErrors(c.Failures)}
	}
	if c.Retries > 0 {
		h["X-Litellm-Max-Retries"] = count(c.MaxRetries)
	}
}

// timings sets how long the call took, and how much of it was not the
// upstream's.
func timings(h http.Header, c *call.Call, v *values, now time.Time) {
	total := now.Sub(c.Start)
	h["X-Litellm-Response-Duration-Ms"] = v.one(milliseconds(&v.text, total))
	upstream := c.UpstreamTime
	if upstream == 0 && !c.UpstreamStart.IsZero() { // of a stream, until its answer began
		upstream = now.Sub(c.UpstreamStart)
	}
	h["X-Litellm-Overhead-Duration-Ms"] = v.one(milliseconds(&v.text, max(total-upstream, 0)))
	h["X-Litellm-Callback-Duration-Ms"] = zero // whatever is told of a call is told after it
}

// phases sets how long the parts of a call took that has been answered.
func (c *chat) phases(h http.Header, now time.Time) {
	if !c.a.o.DetailedTiming || c.call.UpstreamStart.IsZero() {
		return
	}
	var buf []byte
	before := c.call.UpstreamStart.Sub(c.call.Start)
	upstream := c.call.UpstreamTime
	if upstream == 0 {
		upstream = now.Sub(c.call.UpstreamStart)
	}
	h["X-Litellm-Timing-Pre-Processing-Ms"] = []string{milliseconds(&buf, before)}
	h["X-Litellm-Timing-Llm-Api-Ms"] = []string{milliseconds(&buf, upstream)}
	h["X-Litellm-Timing-Post-Processing-Ms"] = []string{milliseconds(&buf, max(now.Sub(c.call.Start)-before-upstream, 0))}
	h["X-Litellm-Timing-Message-Copy-Ms"] = zero // messages are not copied
}

// milliseconds formats like Python's float: 12.345, 7.0.
func milliseconds(buf *[]byte, d time.Duration) string {
	b := strconv.AppendInt((*buf)[:0], int64(d/time.Millisecond), 10)
	b = append(b, '.')
	us := int64(d % time.Millisecond / time.Microsecond)
	switch {
	case us == 0:
		b = append(b, '0')
	default:
		b = append(b, byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
		for b[len(b)-1] == '0' {
			b = b[:len(b)-1]
		}
	}
	*buf = b
	return string(b)
}

// upstreamHeaders passes on what the upstream said: all of it under
// llm_provider-, and the names that SDKs read under their own.
func upstreamHeaders(h, from http.Header, secrets []redact.Secret) {
	for name, value := range from {
		p := passed(name)
		if p.prefixed == "" || shows(value, secrets) { // cookies, which are long, stay here anyway
			continue
		}
		h[p.prefixed] = value
		if p.plain {
			h[name] = value
		}
	}
}

// shows reports whether a header repeats what the gateway identified itself
// with: some services and debugging proxies echo it.
func shows(values []string, secrets []redact.Secret) bool {
	for i := range secrets {
		key := secrets[i].Reveal()
		for _, v := range values {
			// Most values are shorter than a key.
			if len(v) >= len(key) && len(key) >= shortSecret && strings.Contains(v, key) {
				return true
			}
		}
	}
	return false
}

// shortSecret is the length below which a secret is a placeholder, such as none
// or EMPTY, and occurs in other words.
const shortSecret = 8

// pass is what becomes of one of an upstream's headers.
type pass struct {
	prefixed string // "" for headers of the connection
	plain    bool
}

// passes remembers names, since upstreams repeat the same few. It is bounded:
// an upstream that invents names must not fill the memory.
var (
	passes     sync.Map // string -> pass
	passesSize atomic.Int32
)

const passesLimit = 1024

func passed(name string) pass {
	if p, ok := passes.Load(name); ok {
		return p.(pass)
	}
	var p pass
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Set-Cookie":
	default:
		// Canonical, so that http.Header.Get finds it.
		p.prefixed = http.CanonicalHeaderKey("llm_provider-" + name)
		p.plain = name == "X-Request-Id" || strings.HasPrefix(name, "X-Ratelimit-")
	}
	if passesSize.Load() < passesLimit {
		if _, loaded := passes.LoadOrStore(name, p); !loaded {
			passesSize.Add(1)
		}
	}
	return p
}

// newID returns a random UUID. It names calls and protects nothing, so the
// runtime's generator is good enough.
func newID() string {
	var raw [16]byte
	binary.LittleEndian.PutUint64(raw[:8], rand.Uint64()) //nolint:gosec // a name, not a secret
	binary.LittleEndian.PutUint64(raw[8:], rand.Uint64()) //nolint:gosec // a name, not a secret
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], raw[0:4])
	out[8] = '-'
	hex.Encode(out[9:13], raw[4:6])
	out[13] = '-'
	hex.Encode(out[14:18], raw[6:8])
	out[18] = '-'
	hex.Encode(out[19:23], raw[8:10])
	out[23] = '-'
	hex.Encode(out[24:], raw[10:])
	return string(out[:])
}

// appendDollars formats like Python's float, which clients of LiteLLM's headers
// know: 1.215e-05, 0.0, 0.25.
func appendDollars(b []byte, f float64) []byte {
	start := len(b)
	if f != 0 && (f < 1e-4 || f >= 1e16) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'f', -1, 64)
	for _, c := range b[start:] {
		if c == '.' {
			return b
		}
	}
	return append(b, ".0"...)
}

// zero is the value of the headers that always say nothing, as Python prints it.
var zero = []string{"0.0"}

// costHeaders say what an answer costs: parts of zero where no price is known,
// and no sum. All numbers share one string.
func (v *values) costHeaders(h http.Header, c *call.Call) {
	h["X-Litellm-Response-Cost-Tool-Usage"] = zero
	h["X-Litellm-Response-Cost-Discount-Amount"] = zero
	h["X-Litellm-Response-Cost-Margin-Amount"] = zero
	h["X-Litellm-Response-Cost-Margin-Percent"] = zero
	if !c.Cost.Known {
		h["X-Litellm-Response-Cost-Original"] = zero
		h["X-Litellm-Response-Cost-Input"] = zero
		h["X-Litellm-Response-Cost-Output"] = zero
		h["X-Litellm-Key-Spend"] = zero
		return
	}
	b := appendDollars(v.text[:0], c.Cost.Total)
	total := len(b)
	b = appendDollars(b, c.Cost.Input)
	input := len(b)
	b = appendDollars(b, c.Cost.Output)
	v.text = b
	text := string(b)
	sum := v.one(text[:total])
	h["X-Litellm-Response-Cost"] = sum
	h["X-Litellm-Response-Cost-Original"] = sum
	h["X-Litellm-Response-Cost-Input"] = v.one(text[total:input])
	h["X-Litellm-Response-Cost-Output"] = v.one(text[input:])
	h["X-Litellm-Key-Spend"] = sum
}
