package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
)

// Payload says what requests contain.
type Payload struct {
	PromptTokens int // words of synthetic prompt; 0 means 32
	OutputTokens int // max_tokens; 0 means 64, below 0 leaves it out
	BodyBytes    int // pad the body to this size
	Unique       bool
	Merge        map[string]json.RawMessage // merged into every body
	Prompts      []json.RawMessage          // bodies or prompts, used in turn
	Shuffle      bool                       // use them in seeded random order instead
}

func (p *Payload) check() error {
	if p.PromptTokens == 0 {
		p.PromptTokens = 32
	}
	if p.OutputTokens == 0 {
		p.OutputTokens = 64
	}
	if p.PromptTokens < 1 || p.PromptTokens > 1<<20 {
		return fmt.Errorf("--prompt-tokens %d: must be between 1 and %d", p.PromptTokens, 1<<20)
	}
	if p.OutputTokens > 1<<20 {
		return fmt.Errorf("--output-tokens %d: must be at most %d", p.OutputTokens, 1<<20)
	}
	if p.BodyBytes < 0 || p.BodyBytes > 64<<20 {
		return fmt.Errorf("--body-bytes %d: must be between 0 and %d", p.BodyBytes, 64<<20)
	}
	return nil
}

// ReadPrompts reads JSON lines: whole request bodies, {"prompt": …} or
// {"messages": […]}.
func ReadPrompts(name string, r io.Reader) ([]json.RawMessage, error) {
	var out []json.RawMessage
	total := 0
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 64<<10), 64<<20)
	for line := 1; sc.Scan(); line++ {
		b := bytes.TrimSpace(sc.Bytes())
		if len(b) == 0 {
			continue
		}
		var m map[string]json.RawMessage
		if err := json.Unmarshal(b, &m); err != nil || m == nil {
			return nil, fmt.Errorf("%s:%d: not a JSON object", name, line)
		}
		if m["prompt"] == nil && m["messages"] == nil && m["input"] == nil {
			return nil, fmt.Errorf("%s:%d: has neither messages nor prompt nor input", name, line)
		}
		if total += len(b); total > 256<<20 {
			return nil, fmt.Errorf("%s: more than 256 MiB of prompts", name)
		}
		out = append(out, bytes.Clone(b))
	}
	if err := sc.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no prompts in it", name)
	}
	return out, nil
}

// request is one prepared request: everything is laid out but the key and the
// nonce.
type request struct {
	scenario int
	head     []byte // up to the place of the Authorization header
	tail     []byte // the rest of the head
	body     []byte
	nonceAt  int // in body; -1 when the body has none
	stream   bool
	usage    bool // the answer carries usage
	health   bool
	auth     bool
}

func (q *request) appendTo(dst []byte, key string, nonce []byte) []byte {
	dst = append(dst, q.head...)
	if q.auth {
		dst = append(dst, "Authorization: Bearer "...)
		dst = append(dst, key...)
		dst = append(dst, "\r\n"...)
	}
	dst = append(dst, q.tail...)
	at := len(dst)
	dst = append(dst, q.body...)
	if q.nonceAt >= 0 {
		copy(dst[at+q.nonceAt:], nonce)
	}
	return dst
}

const (
	nonceMark  = "nonce:"
	nonceBlank = "0000000000000000"
)

// prepare lays out the requests of one scenario.
func prepare(p *Plan, index int, s Scenario, model string) ([]*request, error) {
	if !s.body() {
		q := &request{scenario: index, nonceAt: -1, health: s == Health}
		q.layHead(p, "GET", s, 0)
		return []*request{q}, nil
	}
	prompts := p.Payload.Prompts
	if len(prompts) == 0 {
		prompts = []json.RawMessage{nil}
	}
	var out []*request
	for _, prompt := range prompts {
		body, err := makeBody(&p.Payload, s, model, prompt, p.Seed)
		if err != nil {
			return nil, err
		}
		q := &request{scenario: index, body: body, nonceAt: -1, stream: s == ChatStream, usage: s != Embeddings}
		if p.Payload.Unique {
			if i := bytes.Index(body, []byte(nonceMark+nonceBlank)); i >= 0 {
				q.nonceAt = i + len(nonceMark)
			}
		}
		q.layHead(p, "POST", s, len(body))
		out = append(out, q)
	}
	return out, nil
}

func (q *request) layHead(p *Plan, method string, s Scenario, length int) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, p.Target.path(s.path()), p.Target.URL.Host)
	own := map[string]bool{}
	for _, h := range p.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		own[strings.ToLower(h[0])] = true
	}
	q.auth = len(p.Keys) > 0 && !own["authorization"]
	q.head = bytes.Clone(b.Bytes())
	b.Reset()
	for _, h := range [][2]string{{"Accept", "*/*"}, {"User-Agent", "llmgw-bench"}} {
		if !own[strings.ToLower(h[0])] {
			fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
		}
	}
	if method == "POST" {
		if !own["content-type"] {
			b.WriteString("Content-Type: application/json\r\n")
		}
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	}
	if p.NoKeepAlive {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	q.tail = b.Bytes()
}

// ParseHeader reads NAME:VALUE. Headers that frame a request are refused.
func ParseHeader(text string) ([2]string, error) {
	name, value, ok := strings.Cut(text, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" {
		return [2]string{}, fmt.Errorf("%q is no header: write NAME:VALUE", redact.Text(text))
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c) {
			return [2]string{}, fmt.Errorf("%q is no header name", name)
		}
	}
	if strings.ContainsAny(value, "\r\n\x00") {
		return [2]string{}, fmt.Errorf("header %s: a value has no line breaks", name)
	}
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding", "connection", "host":
		return [2]string{}, fmt.Errorf("header %s is set by bench itself", name)
	}
	return [2]string{name, value}, nil
}

// makeBody builds one request body with a blank nonce in front of its prompt.
func makeBody(p *Payload, s Scenario, model string, prompt json.RawMessage, seed uint64) ([]byte, error) {
	m := map[string]json.RawMessage{}
	if prompt != nil {
		if err := json.Unmarshal(prompt, &m); err != nil {
			return nil, err
		}
	}
	mark := ""
	if p.Unique {
		mark = nonceMark + nonceBlank + " "
	}
	text := mark + words(p.PromptTokens, seed)
	var err error
	switch s {
	case Chat, ChatStream:
		err = chatMembers(m, text, mark)
	case Completions:
		err = textMember(m, "prompt", text, mark)
	case Embeddings:
		if m["input"] == nil && m["prompt"] != nil {
			m["input"] = m["prompt"]
		}
		err = textMember(m, "input", text, mark)
		delete(m, "prompt")
		delete(m, "messages")
	}
	if err != nil {
		return nil, err
	}
	if m["model"] == nil {
		m["model"] = jsonText(model)
	}
	if s != Embeddings && p.OutputTokens > 0 && m["max_tokens"] == nil && m["max_completion_tokens"] == nil {
		m["max_tokens"] = json.RawMessage(strconv.Itoa(p.OutputTokens))
	}
	delete(m, "stream")
	if s == ChatStream {
		m["stream"] = json.RawMessage("true")
		if m["stream_options"] == nil {
			m["stream_options"] = json.RawMessage(`{"include_usage":true}`)
		}
	}
	for k, v := range p.Merge {
		m[k] = v
	}
	body, err := encode(m)
	if err != nil {
		return nil, err
	}
	if short := p.BodyBytes - len(body); short > 0 {
		pad := " " + words(short/4+2, seed+1)
		for len(pad) < short {
			pad += pad
		}
		// The prompt text is the first string after the mark, or the synthetic text.
		at := bytes.Index(body, []byte(strings.TrimSuffix(string(jsonText(text)), `"`)[1:]))
		if at < 0 {
			return nil, errors.New("--body-bytes pads synthetic prompts only; leave it out with --prompts")
		}
		at += len(jsonText(text)) - 2
		body = append(body[:at:at], append([]byte(pad[:short]), body[at:]...)...)
	}
	return body, nil
}

// chatMembers makes sure there are messages and puts the mark before the first
// text in them.
func chatMembers(m map[string]json.RawMessage, text, mark string) error {
	if m["messages"] == nil {
		content := text
		if m["prompt"] != nil {
			var given string
			if err := json.Unmarshal(m["prompt"], &given); err != nil {
				return errors.New("a prompt of a chat scenario must be one text")
			}
			content = mark + given
		}
		m["messages"] = json.RawMessage(`[{"role":"user","content":` + string(jsonText(content)) + `}]`)
		delete(m, "prompt")
		return nil
	}
	if mark == "" {
		return nil
	}
	var messages []map[string]json.RawMessage
	if err := json.Unmarshal(m["messages"], &messages); err != nil {
		return errors.New("messages must be a list of objects")
	}
	for _, msg := range messages {
		var content string
		if json.Unmarshal(msg["content"], &content) == nil {
			msg["content"] = jsonText(mark + content)
			break
		}
	}
	b, err := encode(messages)
	m["messages"] = b
	return err
}

func textMember(m map[string]json.RawMessage, name, text, mark string) error {
	if m[name] == nil {
		m[name] = jsonText(text)
		return nil
	}
	var given string
	if json.Unmarshal(m[name], &given) == nil {
		m[name] = jsonText(mark + given)
	}
	return nil
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n"), err
}

func jsonText(s string) json.RawMessage {
	b, err := encode(s)
	if err != nil {
		panic(err) // a string always encodes
	}
	return b
}

var vocabulary = strings.Fields(`please tell me how a small town keeps its bridges safe in spring when the river rises and
	what the oldest builder would have said about stone wood iron and patience when asked by children on their way home`)

// words is a synthetic prompt of n words, about one token each; the same seed
// gives the same text.
func words(n int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 0x70f0))
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(vocabulary[rng.IntN(len(vocabulary))])
	}
	return b.String()
}

// keyring hands out keys in turn.
type keyring []string

func (k keyring) pick(i uint64) string {
	if len(k) == 0 {
		return ""
	}
	return k[i%uint64(len(k))]
}

// ParseMerge reads the JSON object that is merged into every body; an empty
// text is none.
func ParseMerge(text string) (map[string]json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil || m == nil {
		return nil, errors.New("not a JSON object; write it as in '{\"user\":\"me\"}'")
	}
	for _, own := range []string{"stream"} {
		if m[own] != nil {
			return nil, fmt.Errorf("%s follows from the scenario; use --scenario chat-stream or chat", own)
		}
	}
	return m, nil
}

// ReadKeys reads one key a line.
func ReadKeys(name string, text []byte) ([]redact.Secret, error) {
	var keys []redact.Secret
	line := 0
	for l := range strings.Lines(string(text)) {
		line++
		l = strings.TrimSpace(l)
		if l == "" {
			continue
		}
		for _, c := range []byte(l) {
			if c <= ' ' || c >= 0x7f {
				return nil, fmt.Errorf("%s, line %d: a key has no spaces and only ASCII characters", name, line)
			}
		}
		keys = append(keys, redact.New(l))
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: no key in it", name)
	}
	return keys, nil
}

// Sample lays out the first request of a plan as text, without its key.
func Sample(p *Plan) (string, error) {
	model := p.Model
	if model == "" {
		model = "(the target's only model)"
	}
	list, err := prepare(p, 0, p.Scenarios[0].Scenario, model)
	if err != nil {
		return "", err
	}
	q := list[0]
	return redact.Text(string(q.appendTo(nil, redact.Mask, []byte(nonceBlank))), p.Keys...), nil
}
