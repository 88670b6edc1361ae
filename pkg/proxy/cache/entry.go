package cache

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// entry is a kept answer. It is shared and never changed.
type entry struct {
	body  []byte
	at    time.Time
	until time.Time
	usage call.Usage
	model string // id of the deployment
}

// stored is an entry in Redis: LiteLLM's two members, and ours.
type stored struct {
	Timestamp float64 `json:"timestamp"`
	Response  string  `json:"response"`
	Until     float64 `json:"until"`
	Usage     []int64 `json:"usage,omitempty"`
	ModelID   string  `json:"model_id,omitempty"`
}

func encode(e *entry) []byte {
	unix := func(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
	s := stored{Timestamp: unix(e.at), Until: unix(e.until), Response: string(e.body), ModelID: e.model}
	if u := e.usage; u.Known {
		s.Usage = []int64{u.PromptTokens, u.CompletionTokens, u.TotalTokens, u.CachedTokens, u.CacheWriteTokens, u.ReasoningTokens}
	}
	out, _ := json.Marshal(s)
	return out
}

var errEntry = errors.New("what Redis holds under the key is no answer")

// decode reads what is in Redis, which anybody may have written.
func decode(raw []byte) (*entry, error) {
	var s stored
	if json.Unmarshal(raw, &s) != nil || s.Response == "" || len(s.Response) > maxAnswer ||
		!(s.Timestamp > 0 && s.Timestamp < 1e12) || !(s.Until > 0 && s.Until < 1e12) {
		return nil, errEntry
	}
	t := func(f float64) time.Time { return time.UnixMilli(int64(f * 1000)) }
	e := &entry{body: []byte(s.Response), at: t(s.Timestamp), until: t(s.Until), model: clean(s.ModelID)}
	if u := s.Usage; len(u) == 6 {
		e.usage = call.Usage{
			PromptTokens: u[0], CompletionTokens: u[1], TotalTokens: u[2], CachedTokens: u[3], CacheWriteTokens: u[4], ReasoningTokens: u[5],
			Known: true,
		}
	}
	return e, nil
}

// clean lets nothing into a header that does not belong there.
func clean(id string) string {
	for _, b := range []byte(id) {
		if b < ' ' || b > '~' {
			return ""
		}
	}
	return id
}
