package mock

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"sync"
)

// created is the timestamp of every answer: a fixed one keeps answers
// comparable byte by byte.
const created = "1767225600"

// Slots of a template. They are private-use characters, which JSON encoding
// leaves alone and no text of ours contains.
const (
	slotID         = '\ue000'
	slotNonce      = '\ue001' // "0123456789abcdef.7 " or nothing; a number and slotEnd follow
	slotEnd        = '\ue002'
	slotPrompt     = '\ue003'
	slotCompletion = '\ue004'
	slotTotal      = '\ue005'
)

// part is a literal followed by a slot; slot 0 ends a template.
type part struct {
	lit  string
	slot rune
	seq  string // ".7 " for slotNonce
}

type template []part

// compile cuts text at its slots.
func compile(text string) template {
	var t template
	for {
		i := strings.IndexFunc(text, func(r rune) bool { return r >= slotID && r <= slotTotal })
		if i < 0 {
			return append(t, part{lit: text})
		}
		p := part{lit: text[:i]}
		var size int
		for j, r := range text[i:] {
			if j > 0 {
				size = j
				break
			}
			p.slot = r
		}
		if size == 0 {
			size = len(text) - i
		}
		text = text[i+size:]
		if p.slot == slotNonce {
			seq, rest, _ := strings.Cut(text, string(slotEnd))
			p.seq, text = "."+seq+" ", rest
		}
		t = append(t, p)
	}
}

// vars fill the slots of a template.
type vars struct {
	id                 uint64
	nonce              string
	prompt, completion int
}

func (t template) append(dst []byte, v *vars) []byte {
	for i := range t {
		p := &t[i]
		dst = append(dst, p.lit...)
		switch p.slot {
		case slotID:
			dst = appendHex(dst, v.id)
		case slotNonce:
			if v.nonce != "" {
				dst = append(dst, v.nonce...)
				dst = append(dst, p.seq...)
			}
		case slotPrompt:
			dst = strconv.AppendInt(dst, int64(v.prompt), 10)
		case slotCompletion:
			dst = strconv.AppendInt(dst, int64(v.completion), 10)
		case slotTotal:
			dst = strconv.AppendInt(dst, int64(v.prompt+v.completion), 10)
		}
	}
	return dst
}

func appendHex(dst []byte, n uint64) []byte {
	const digits = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[n>>shift&15])
	}
	return dst
}

func nonceSlot(seq int) string { return string(slotNonce) + strconv.Itoa(seq) + string(slotEnd) }

// answer holds everything that is prepared for one model name and route: the
// whole body, and a stream event by event.
type answer struct {
	body   template
	first  template // role-only event; empty where the format has none
	events []template
	stop   template // last content event, finish_reason "stop"
	length template // the same with "length"
	usage  template // usage event with empty choices
}

const usageSlots = `{"prompt_tokens":` + string(slotPrompt) + `,"completion_tokens":` + string(slotCompletion) +
	`,"total_tokens":` + string(slotTotal) + `,"prompt_tokens_details":{"cached_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`

func data(s string) template { return compile("data: " + s + "\n\n") }

func chatAnswer(model string, chunks []string) *answer {
	head := `{"id":"chatcmpl-` + string(slotID) + `","object":"chat.completion.chunk","created":` + created +
		`,"model":` + model + `,"system_fingerprint":"fp_mock","choices":[`
	a := &answer{
		body:   chatBody(model, chunks, "stop"),
		first:  data(head + `{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]}`),
		stop:   data(head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}`),
		length: data(head + `{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}`),
		usage:  data(head + `],"usage":` + usageSlots + `}`),
	}
	for i, c := range chunks {
		a.events = append(a.events, data(head+`{"index":0,"delta":{"content":`+quote(nonceSlot(i)+c)+
			`},"logprobs":null,"finish_reason":null}]}`))
	}
	return a
}

func chatBody(model string, chunks []string, finish string) template {
	return compile(`{"id":"chatcmpl-` + string(slotID) + `","object":"chat.completion","created":` + created +
		`,"model":` + model + `,"system_fingerprint":"fp_mock","choices":[{"index":0,"message":{"role":"assistant","content":` +
		quote(nonceSlot(0)+strings.Join(chunks, "")) + `,"refusal":null},"logprobs":null,"finish_reason":"` + finish + `"}],"usage":` + usageSlots + "}\n")
}

func completionsAnswer(model string, chunks []string) *answer {
	head := `{"id":"cmpl-` + string(slotID) + `","object":"text_completion","created":` + created +
		`,"model":` + model + `,"system_fingerprint":"fp_mock","choices":[`
	a := &answer{
		body:   completionsBody(model, chunks, "stop"),
		stop:   data(head + `{"index":0,"text":"","logprobs":null,"finish_reason":"stop"}]}`),
		length: data(head + `{"index":0,"text":"","logprobs":null,"finish_reason":"length"}]}`),
		usage:  data(head + `],"usage":` + usageSlots + `}`),
	}
	for i, c := range chunks {
		a.events = append(a.events, data(head+`{"index":0,"text":`+quote(nonceSlot(i)+c)+`,"logprobs":null,"finish_reason":null}]}`))
	}
	return a
}

func completionsBody(model string, chunks []string, finish string) template {
	return compile(`{"id":"cmpl-` + string(slotID) + `","object":"text_completion","created":` + created +
		`,"model":` + model + `,"system_fingerprint":"fp_mock","choices":[{"index":0,"text":` +
		quote(nonceSlot(0)+strings.Join(chunks, "")) + `,"logprobs":null,"finish_reason":"` + finish + `"}],"usage":` + usageSlots + "}\n")
}

// quote makes a JSON string without escaping HTML characters.
func quote(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// answers caches prepared answers by model name. Clients choose the names, so
// the number that is kept is bounded; beyond it an answer is built per request.
type answers struct {
	mu   sync.RWMutex
	byID map[string]*answer
}

const maxCachedAnswers = 512

func (c *answers) get(model []byte, build func(model string) *answer) *answer {
	c.mu.RLock()
	a := c.byID[string(model)]
	c.mu.RUnlock()
	if a != nil {
		return a
	}
	a = build(string(model))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = map[string]*answer{}
	}
	if len(c.byID) < maxCachedAnswers && len(model) <= 256 {
		c.byID[string(model)] = a
	}
	return a
}

const maxEmbeddingInputs = 2048

// appendEmbeddings writes an embedding answer: for each input the same unit
// vector, as numbers or, as the official SDKs ask by default, in base64.
func appendEmbeddings(dst []byte, p *peeked, model []byte, v *vars) []byte {
	dims := p.dimensions
	if dims <= 0 || dims > 8192 {
		dims = 16
	}
	value := 1 / math.Sqrt(float64(dims))
	var vector []byte
	if p.base64 {
		raw := make([]byte, 0, 4*dims)
		for range dims {
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(value)))
		}
		vector = append(vector, '"')
		vector = base64.StdEncoding.AppendEncode(vector, raw)
		vector = append(vector, '"')
	} else {
		vector = append(vector, '[')
		for i := range dims {
			if i > 0 {
				vector = append(vector, ',')
			}
			vector = strconv.AppendFloat(vector, value, 'g', -1, 32)
		}
		vector = append(vector, ']')
	}
	dst = append(dst, `{"object":"list","data":[`...)
	for i := range min(p.inputs, maxEmbeddingInputs) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"object":"embedding","index":`...)
		dst = strconv.AppendInt(dst, int64(i), 10)
		dst = append(dst, `,"embedding":`...)
		dst = append(dst, vector...)
		dst = append(dst, '}')
	}
	dst = append(dst, `],"model":`...)
	dst = append(dst, model...)
	dst = append(dst, `,"usage":{"prompt_tokens":`...)
	dst = strconv.AppendInt(dst, int64(v.prompt), 10)
	dst = append(dst, `,"total_tokens":`...)
	dst = strconv.AppendInt(dst, int64(v.prompt), 10)
	return append(dst, "}}\n"...)
}

func modelList(names []string) []byte {
	type model struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int    `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	list := struct {
		Object string  `json:"object"`
		Data   []model `json:"data"`
	}{Object: "list"}
	for _, n := range names {
		list.Data = append(list.Data, model{n, "model", 1767225600, "llmgw-mock"})
	}
	b, err := json.Marshal(list)
	if err != nil {
		panic(err) // plain strings always encode
	}
	return append(b, '\n')
}
