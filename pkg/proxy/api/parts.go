package api

import (
	"encoding/json"
	"net/http"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

// parts are the elements of an embedding request's input, each of which has an
// entry in the cache of its own: a list of which some are known asks for the
// others alone.
type parts struct {
	hits []*wire.CacheHit
	// asked are the elements that go upstream, by their place in the request;
	// some says that they are not all.
	asked []int
	some  bool
}

// maxParts is the longest list that is taken apart.
const maxParts = 2048

// listOf is the elements of a list of texts, or of lists of tokens; nil when
// the input is anything else.
func listOf(raw []byte) [][]byte {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || len(list) > maxParts {
		return nil
	}
	out := make([][]byte, len(list))
	for i, e := range list {
		if e[0] != '"' && e[0] != '[' {
			return nil
		}
		out[i] = e
	}
	return out
}

// fromParts answers a list from the cache, or makes the request ask for what is
// missing. It reports whether it has answered; taken is false for requests that
// are no lists.
func (c *chat) fromParts(q *wire.CacheQuery) (taken, done bool, err *call.Error) {
	elements := listOf(c.request.Raw(splice.Input))
	if elements == nil {
		return false, false, nil
	}
	hits, err := c.a.o.Cache.LookupParts(c.x.r.Context(), q, elements, &c.kept.ticket)
	if err != nil || hits == nil {
		return true, false, err
	}
	p := &parts{hits: hits}
	var missing []json.RawMessage
	for i, h := range hits {
		if h == nil {
			p.asked = append(p.asked, i)
			missing = append(missing, elements[i])
		}
	}
	p.some = len(missing) < len(elements)
	switch {
	case len(missing) == 0:
		return true, c.answerParts(p), nil
	case p.some && !c.replace(map[string]json.RawMessage{"input": marshal(missing)}):
		return true, false, nil // the whole list is asked for, and nothing is kept
	}
	c.kept.parts = p
	return true, false, nil
}

// replace makes the request one with other members.
func (c *chat) replace(members map[string]json.RawMessage) bool {
	var whole map[string]json.RawMessage
	if json.Unmarshal(c.in.b, &whole) != nil {
		return false
	}
	for name, v := range members {
		whole[name] = v
	}
	if c.request.Scan(marshal(whole)) != nil {
		_ = c.request.Scan(c.in.b)
		return false
	}
	return true
}

type embeddingUsage struct {
	Prompt int64 `json:"prompt_tokens"`
	Total  int64 `json:"total_tokens"`
}

// answerParts answers a list of which every element is known. It reports
// whether it did.
func (c *chat) answerParts(p *parts) bool {
	data := make([]json.RawMessage, len(p.hits))
	var used int64
	for i, h := range p.hits {
		var ok bool
		if data[i], ok = numbered(h.Body, i); !ok {
			return false
		}
		used += h.Usage.PromptTokens
	}
	body := marshal(struct {
		Object string            `json:"object"`
		Data   []json.RawMessage `json:"data"`
		Model  string            `json:"model"`
		Usage  embeddingUsage    `json:"usage"`
	}{"list", data, c.call.Model, embeddingUsage{used, used}})
	c.answerHit(&wire.CacheHit{
		Body: body, ModelID: p.hits[0].ModelID,
		Usage: call.Usage{PromptTokens: used, TotalTokens: used, Known: true},
	})
	return true
}

// numbered is one embedding with its place in the list.
func numbered(body []byte, place int) (json.RawMessage, bool) {
	var e map[string]json.RawMessage
	if json.Unmarshal(body, &e) != nil {
		return nil, false
	}
	e["index"] = marshal(place)
	return marshal(e), true
}

// mergeParts keeps the embeddings of an answer, and puts those that were known
// between them. The answer stays as it is when everything was asked for.
func (c *chat) mergeParts(d *call.Deployment, answer []byte) ([]byte, *call.Error) {
	p := c.kept.parts
	var whole map[string]json.RawMessage
	var data []json.RawMessage
	if json.Unmarshal(answer, &whole) != nil || json.Unmarshal(whole["data"], &data) != nil || len(data) != len(p.asked) {
		if !p.some {
			return answer, nil
		}
		return nil, c.a.o.Classify.Invalid(d, http.StatusOK, nil, answer[:min(len(answer), errorBodyLimit)])
	}
	c.outcome()
	usage := c.call.Usage
	c.kept.ticket.ModelID = d.ID
	all := make([]json.RawMessage, len(p.hits))
	for j, e := range data {
		var at struct {
			Index *int `json:"index"`
		}
		if json.Unmarshal(e, &at) == nil && at.Index != nil && *at.Index >= 0 && *at.Index < len(p.asked) {
			j = *at.Index
		}
		place := p.asked[j]
		each := call.Usage{PromptTokens: usage.PromptTokens / int64(len(data)), Known: usage.Known}
		each.TotalTokens = each.PromptTokens
		c.a.o.Cache.KeepPart(&c.kept.ticket, place, e, each)
		all[place], _ = numbered(e, place)
	}
	if !p.some {
		return answer, nil
	}
	for i, h := range p.hits {
		if h != nil {
			all[i], _ = numbered(h.Body, i)
		}
		if all[i] == nil {
			return nil, c.a.o.Classify.Invalid(d, http.StatusOK, nil, answer[:min(len(answer), errorBodyLimit)])
		}
	}
	whole["data"] = marshal(all)
	return marshal(whole), nil
}
