package proxy

import (
	"net/netip"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// admission reads who may ask for what.
func (l *loader) admission(g *config.Node) {
	a := &l.c.API.Admission
	if n := g.Get("allowed_ips"); !n.IsNull() {
		a.LimitIPs, a.IPs = true, l.prefixes(n)
	}
	if on := l.flag(g.Get("use_x_forwarded_for")); on != nil {
		a.ForwardedFor = *on
	}
	if n := g.Get("trusted_proxy_ranges"); !n.IsNull() {
		a.LimitProxies, a.Proxies = true, l.prefixes(n)
	}
	if n := g.Get("allowed_routes"); !n.IsNull() {
		a.Routes = append([]string{}, l.paths(n)...)
	}
	a.Public = l.paths(g.Get("public_routes"))
	a.AdminOnly = l.paths(g.Get("admin_only_routes"))
	l.demands(g)
}

// demands reads what every call of a model must have.
func (l *loader) demands(g *config.Node) {
	on := func(name string) bool {
		b := l.flag(g.Get(name))
		return b != nil && *b
	}
	d := &l.c.API.Demands
	d.User, d.NoTags = on("enforce_user_param"), on("reject_clientside_metadata_tags")
	for _, n := range l.list(g.Get("enforced_params")) {
		name, ok := n.Str()
		if !ok || name == "" || strings.Count(name, ".") > 1 {
			l.report(finding.Warning, n, "%s is neither a member of requests nor, as metadata.name, a member of one; it is left out", n.Path())
			continue
		}
		d.Params = append(d.Params, name)
	}
	if n := l.whole(g.Get("global_max_parallel_requests"), 1, 1e9); n != nil {
		d.MaxParallel = *n
	}
}

// prefixes reads addresses and ranges of addresses. One that cannot be read
// matches nobody, so that a slip never lets more callers in.
func (l *loader) prefixes(n *config.Node) []netip.Prefix {
	var list []netip.Prefix
	for _, item := range l.list(n) {
		text, _ := item.Str()
		if p, err := netip.ParsePrefix(text); err == nil {
			list = append(list, p.Masked())
			continue
		}
		ip, err := netip.ParseAddr(text)
		if err != nil {
			l.report(finding.Warning, item, "%s is neither an address nor a range such as 10.0.0.0/8, and matches nobody", item.Path())
			continue
		}
		ip = ip.Unmap()
		list = append(list, netip.PrefixFrom(ip, ip.BitLen()))
	}
	return list
}

// paths reads a list of request paths.
func (l *loader) paths(n *config.Node) []string {
	var list []string
	for _, item := range l.list(n) {
		text, ok := item.Str()
		if !ok || !strings.HasPrefix(text, "/") {
			l.report(finding.Warning, item, "%s is no path such as /v1/models, and matches nothing", item.Path())
			continue
		}
		list = append(list, text)
	}
	return list
}

// list is the items of a list, or a single value as a list of one.
func (l *loader) list(n *config.Node) []*config.Node {
	switch {
	case n.IsNull():
		return nil
	case n.Kind == config.List:
		return n.Items()
	}
	return []*config.Node{n}
}
