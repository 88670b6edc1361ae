package route

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// fallback tries the groups that stand in for g. When none of them serves the
// call, the client gets the first error.
func (r *run) fallback(ctx context.Context, g *group, first *call.Error) *call.Error {
	if r.over(first) {
		return first
	}
	chain := r.chain(g.name, first)
	if len(chain) == 0 {
		return first
	}
	limit := DefaultMaxFallbacks
	if r.s.o.MaxFallbacks != nil {
		limit = *r.s.o.MaxFallbacks
	}
	if r.tried == nil {
		r.tried = []string{g.name}
	}
	var last *call.Error
	if r.p.KeepErrors {
		r.c.Failures = append(r.c.Failures, first)
	}
	for i, name := range chain {
		if slices.Contains(r.tried, name) {
			continue
		}
		if r.depth >= limit || r.gone() {
			break
		}
		r.depth++
		r.tried = append(r.tried, name)
		r.c.Fallbacks++
		if r.p.Hop != nil && r.p.Fallbacks != nil {
			r.p.Hop(i)
		}
		target, ok := r.s.resolve(name, r.p.TeamID)
		if !ok {
			last = unknownModel(name)
			continue
		}
		r.c.Group = name
		last = r.group(ctx, target)
		if r.over(last) {
			return last
		}
		if deeper := r.fallback(ctx, target, last); r.over(deeper) {
			return deeper
		}
	}
	if last == nil {
		return first
	}
	e := *first
	e.Message += fmt.Sprintf(". Received Model Group=%s\nAvailable Model Group Fallbacks=['%s']\nError doing the fallback: %s",
		g.name, strings.Join(chain, "', '"), last.Message)
	return &e
}

// chain returns the names to try after a group.
func (r *run) chain(group string, err *call.Error) []string {
	o := &r.s.o
	switch {
	case r.p.Fallbacks != nil:
		return r.p.Fallbacks
	case err.Class == call.ClassContextWindowExceeded && o.ContextWindowFallbacks != nil:
		return lookup(o.ContextWindowFallbacks, group)
	case err.Class == call.ClassContentPolicyViolation && o.ContentPolicyFallbacks != nil:
		return lookup(o.ContentPolicyFallbacks, group)
	}
	return lookup(o.Fallbacks, group)
}

// Fallbacks are the names to try after a group: the general ones, or those for
// "context_window" or "content_policy".
func (r *Router) Fallbacks(group, kind string) []string {
	o := &r.current.Load().o
	switch kind {
	case "context_window":
		return lookup(o.ContextWindowFallbacks, group)
	case "content_policy":
		return lookup(o.ContentPolicyFallbacks, group)
	}
	return lookup(o.Fallbacks, group)
}

// lookup finds a group's chain: by its name, by its name without a provider,
// by the star.
func lookup(list []Fallback, group string) []string {
	_, bare, hasPrefix := strings.Cut(group, "/")
	for _, match := range []func(string) bool{
		func(name string) bool { return name == group },
		func(name string) bool { return hasPrefix && name == bare },
		func(name string) bool { return name == "*" },
	} {
		for _, f := range list {
			if match(f.Group) {
				return f.To
			}
		}
	}
	return nil
}
