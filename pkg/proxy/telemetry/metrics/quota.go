package metrics

import "github.com/llmgw/llmgw/pkg/proxy/call"

// quota counts what the groups with limits have had in this minute, by this
// instance alone, as LiteLLM derives what is left where the provider says
// nothing.
type quota struct {
	minute int64
	groups map[string]*spent
}

type spent struct{ requests, tokens float64 }

// left counts a call and returns what is left of its group's limits; less than 0
// where there are none.
func (q *quota) left(c *call.Call, limits func(string) (float64, float64)) (requests, tokens float64) {
	if limits == nil || c.Deployment.RPM <= 0 && c.Deployment.TPM <= 0 {
		return -1, -1
	}
	if minute := c.End.Unix() / 60; minute > q.minute || q.groups == nil {
		q.minute, q.groups = minute, map[string]*spent{}
	}
	group := c.Deployment.Group
	s := q.groups[group]
	if s == nil {
		s = &spent{}
		q.groups[group] = s
	}
	s.requests++
	s.tokens += float64(c.Usage.TotalTokens)
	requests, tokens = limits(group)
	rest := func(limit, used float64) float64 {
		if limit <= 0 {
			return -1
		}
		return max(limit-used, 0)
	}
	return rest(requests, s.requests), rest(tokens, s.tokens)
}
