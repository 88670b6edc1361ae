package route

import "github.com/llmgw/llmgw/pkg/proxy/call"

// Quota is what the deployments of a group may serve in a minute, added up, and
// what is left of it beside a call that is being answered and has used tokens
// (LiteLLM's x-ratelimit headers of groups with rpm or tpm). Deployments without
// a limit count for neither. ok is false for groups without limits.
func (r *Router) Quota(name string, tokens int64) (q call.Quota, ok bool) {
	s := r.current.Load()
	if !s.limited {
		return q, false
	}
	g := s.groups[name]
	if g == nil {
		return q, false
	}
	minute := utcMinute(s.o.wall())
	var spent, served int64
	for _, n := range g.nodes {
		if n.RPM <= 0 && n.TPM <= 0 {
			continue
		}
		requests, used := n.state.use.total(minute)
		served, spent = served+requests, spent+used
		q.Requests += int64(max(n.RPM, 0))
		q.Tokens += int64(max(n.TPM, 0))
	}
	if !s.counts {
		served++ // the call itself, which is counted when it has ended
	}
	q.RequestsLeft, q.TokensLeft = max(q.Requests-served, 0), max(q.Tokens-spent-tokens, 0)
	return q, q.Requests > 0 || q.Tokens > 0
}
