package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// Affinity says by what calls may be tied to the deployment of an earlier one;
// what does not matter is not read.
type Affinity struct{ User, Session, Response, Prompt, Encrypted bool }

// tie fills in what the router wants to know of earlier calls.
func (c *chat) tie(o Affinity) {
	a := &c.affinity
	if (o.User || o.Session) && c.x.caller != nil {
		a.User = c.x.caller.KeyHash
	}
	if o.Session {
		a.Session = sessionOf(&c.request, c.x.r.Header)
	}
	if o.Prompt && c.x.route.kind.op == wire.Chat {
		a.Prefixes = c.prefixes
	}
	c.plan.Affinity = a
}

// continued reads which response a request goes on from. The upstream gets its
// own name of it.
func (c *chat) continued() {
	if c.x.route.kind.op != wire.Responses {
		return
	}
	c.rename = c.a.o.Affinity.Response
	c.reopened()
	text, ok := c.request.Text(splice.PreviousResponseID)
	if !ok {
		return
	}
	id, deployment, ok := openResponseID(string(text))
	if !ok {
		return
	}
	c.affinity.Deployment = deployment
	if c.replace(map[string]json.RawMessage{splice.PreviousResponseID.String(): marshal(id)}) {
		c.in.b = append(c.in.b[:0], c.request.Body()...)
		_ = c.request.Scan(c.in.b)
	}
}

const (
	responsePrefix = "resp_"
	responseText   = "litellm:custom_llm_provider:%s;model_id:%s;response_id:%s"
)

// sealResponseID names a response together with the deployment that has it, as
// LiteLLM does: what goes on from it finds its way in every instance.
func sealResponseID(provider, deployment, id string) string {
	return responsePrefix + base64.StdEncoding.EncodeToString(fmt.Appendf(nil, responseText, provider, deployment, id))
}

// openResponseID reads such a name.
func openResponseID(sealed string) (id, deployment string, ok bool) {
	rest, ok := strings.CutPrefix(sealed, responsePrefix)
	if !ok || !strings.HasPrefix(rest, "bGl0ZWxsbTpj") { // litellm:c
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	if err != nil {
		return "", "", false
	}
	text := string(raw)
	head, id, ok := strings.Cut(text, ";response_id:")
	if !ok {
		return "", "", false
	}
	_, deployment, ok = strings.Cut(head, ";model_id:")
	return id, deployment, ok && id != ""
}

// responseID is how the client gets to know an answer; nil leaves the upstream's.
func (c *chat) responseID(d *call.Deployment) func(id []byte) string {
	if !c.rename {
		return nil
	}
	return func(id []byte) string {
		var plain string
		if json.Unmarshal(append(append([]byte{'"'}, id...), '"'), &plain) != nil || plain == "" {
			return string(id)
		}
		return sealResponseID(d.Provider, d.ID, plain)
	}
}

// sealing marks what only a deployment can read; nil leaves answers as they are.
func (c *chat) sealing(d *call.Deployment) func(answer []byte) []byte {
	if !c.a.o.Affinity.Encrypted || c.x.route.kind.op != wire.Responses {
		return nil
	}
	return func(answer []byte) []byte { return sealItems(answer, d.ID) }
}

// sessionOf is what the client calls its session: a header's word, else that of
// the metadata.
func sessionOf(q *splice.Request, h http.Header) string {
	for _, name := range [...]string{"X-Litellm-Trace-Id", "X-Litellm-Session-Id"} {
		if v := headerValue(h, name); v != "" {
			return clipName(v)
		}
	}
	vendor := ""
	for name, values := range h {
		if len(name) > len("X--Session-Id") && strings.HasPrefix(name, "X-") && strings.HasSuffix(name, "-Session-Id") &&
			(vendor == "" || name < vendor) && plausibleSession(values[0]) {
			vendor = name
		}
	}
	if vendor != "" {
		return h[vendor][0]
	}
	if v := headerValue(h, "X-Session-Id"); plausibleSession(v) {
		return v
	}
	for _, m := range [...]splice.Member{splice.LiteLLMMetadata, splice.Metadata} {
		if !q.Has(m) {
			continue
		}
		var metadata struct {
			Session any `json:"session_id"`
		}
		if json.Unmarshal(q.Raw(m), &metadata) != nil {
			continue
		}
		switch v := metadata.Session.(type) {
		case string:
			return clipName(v)
		case float64:
			return strconv.FormatFloat(v, 'f', -1, 64)
		}
	}
	return ""
}

// plausibleSession reports whether a header's value looks like a session.
func plausibleSession(v string) bool {
	if len(v) < 8 || len(v) > maxName {
		return false
	}
	for _, b := range []byte(v) {
		if !(b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' || b == '-' || b == '_') {
			return false
		}
	}
	return true
}

const (
	// leastCached is the shortest prompt that providers keep, in tokens.
	leastCached = 1024
	// lookback is how many blocks before the last mark are looked for.
	lookback = 20
)

// promptPrefixes names the beginnings of a prompt up to its last mark for a
// provider's cache, the longest first: one for each block of content. A name is
// the hash of what the beginning says, without the marks, as LiteLLM has it.
func promptPrefixes(q *splice.Request) []string {
	raw := q.Raw(splice.Messages)
	if !bytes.Contains(raw, []byte(`"cache_control"`)) || promptTokens(q) < leastCached {
		return nil
	}
	var messages []map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&messages) != nil {
		return nil
	}
	lastMessage, lastBlock := -1, -1
	for i, m := range messages {
		if ephemeral(m["cache_control"]) {
			lastMessage, lastBlock = i, -1
		}
		blocks, _ := m["content"].([]any)
		for j, b := range blocks {
			if block, ok := b.(map[string]any); ok && ephemeral(block["cache_control"]) {
				lastMessage, lastBlock = i, j
			}
		}
	}
	if lastMessage < 0 {
		return nil
	}
	type place struct {
		key string
		at  int
	}
	var places []place
	digest, at, before := sha256.Sum256(nil), 0, ""
	for i, m := range messages[:lastMessage+1] {
		blocks, isList := m["content"].([]any)
		if isList && i == lastMessage && lastBlock >= 0 {
			blocks = blocks[:lastBlock+1]
		}
		var units []any
		switch text, _ := m["content"].(string); {
		case isList && len(blocks) > 0:
			units = blocks
		case text != "":
			units = []any{map[string]any{"type": "text", "text": text}}
		default:
			units = []any{nil}
		}
		envelope := pairs(m, "content", "cache_control")
		for _, u := range units {
			run := ""
			if m["role"] == "tool" {
				run = "tool_result"
			}
			if block, ok := u.(map[string]any); ok {
				if kind, _ := block["type"].(string); run == "" && (kind == "tool_use" || kind == "tool_result") {
					run = kind
				}
				u = pairs(block, "cache_control")
			}
			if run == "" || run != before {
				at++
			}
			before = run
			unit := canonical(nil, []any{envelope, u})
			digest = sha256.Sum256(append(digest[:], unit...))
			places = append(places, place{"deployment:" + hex.EncodeToString(digest[:]) + ":prompt_caching", at})
		}
	}
	var keys []string
	for _, p := range slices.Backward(places) {
		if p.at > at-lookback {
			keys = append(keys, p.key)
		}
	}
	return keys
}

func ephemeral(v any) bool {
	m, ok := v.(map[string]any)
	return ok && m["type"] == "ephemeral"
}

// pairs are the members of an object in the order of their names.
func pairs(m map[string]any, without ...string) []any {
	names := make([]string, 0, len(m))
	for name := range m {
		if !slices.Contains(without, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	list := make([]any, 0, len(names))
	for _, name := range names {
		list = append(list, []any{name, m[name]})
	}
	return list
}

// canonical writes JSON as Python does with sorted names and no spaces.
func canonical(b []byte, v any) []byte {
	switch v := v.(type) {
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = canonical(b, e)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, p := range pairs(v) {
			if i > 0 {
				b = append(b, ',')
			}
			pair := p.([]any)
			b = append(canonical(b, pair[0]), ':')
			b = canonical(b, pair[1])
		}
		return append(b, '}')
	case string:
		return pyfmt.AppendJSON(b, v)
	case json.Number:
		return append(b, v...)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, "null"...)
}
