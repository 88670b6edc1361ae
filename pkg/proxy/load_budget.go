package proxy

import (
	"math"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm/duration"
	"github.com/llmgw/llmgw/pkg/proxy/budget"
)

// budgets reads the budgets of providers and tags; those of deployments have been
// read with them. LiteLLM checks them without being asked to.
func (l *loader) budgets() {
	used := map[string]bool{}
	for _, d := range l.c.Deployments {
		used[d.Provider] = true
	}
	for _, n := range l.tree.Get("router_settings.provider_budget_config").Items() {
		b, ok := l.budget(n, first(n.Get("budget_limit"), n.Get("max_budget")), first(n.Get("time_period"), n.Get("budget_duration")))
		if !ok {
			continue
		}
		if !used[n.Key] {
			l.report(finding.Warning, n, "%s: no deployment has the provider %q, so nothing is spent from this budget", n.Path(), n.Key)
		}
		put(&l.c.Budgets.Providers, n.Key, b)
	}
	for _, n := range l.tree.Get("litellm_settings.tag_budget_config").Items() {
		if b, ok := l.budget(n, first(n.Get("max_budget"), n.Get("budget_limit")), first(n.Get("budget_duration"), n.Get("time_period"))); ok {
			put(&l.c.Budgets.Tags, n.Key, b)
			l.c.API.Routing.Tags, l.c.API.KeepTags = true, true
		}
	}
}

// deploymentBudget reads the budget of one entry of model_list.
func (l *loader) deploymentBudget(id string, p *config.Node) {
	limit, period := p.Get("max_budget"), p.Get("budget_duration")
	if limit.IsNull() {
		return
	}
	if b, ok := l.budget(limit, limit, period); ok {
		put(&l.c.Budgets.Deployments, id, b)
	}
}

func put(m *map[string]budget.Budget, name string, b budget.Budget) {
	if *m == nil {
		*m = map[string]budget.Budget{}
	}
	(*m)[name] = b
}

// budget reads a limit and its window. What cannot be enforced is said: an
// operator who sets a budget relies on it.
func (l *loader) budget(at, limit, period *config.Node) (b budget.Budget, ok bool) {
	dollars, number := limit.Number()
	text, _ := period.Scalar()
	window, err := duration.Parse(text)
	switch {
	case limit.IsNull() || !number || math.IsNaN(dollars) || math.IsInf(dollars, 0):
		l.report(finding.Error, at, "%s: the budget is not enforced: its limit must be a number of dollars", at.Path())
	case err != nil:
		l.report(finding.Error, first(period, at), "%s: the budget is not enforced: %q is no duration; write one as 30s, 12h, 1d or 1mo", at.Path(), text)
	case window.IsZero() || window.N == 0:
		l.report(finding.Error, at, "%s: the budget is not enforced: it has no window; write one as 12h, 1d or 1mo", at.Path())
	case dollars < 0:
		l.report(finding.Error, at, "%s: a negative budget lets no call through", at.Path())
		fallthrough
	default:
		if dollars == 0 {
			l.report(finding.Warning, at, "%s: a budget of 0 bounds nothing, here as in LiteLLM", at.Path())
		}
		return budget.Budget{Limit: dollars, Window: window, Period: text}, true
	}
	return b, false
}
