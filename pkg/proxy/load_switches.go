package proxy

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/proxy/api"
)

// switches reads what is on or off for all calls.
func (l *loader) switches(g, s *config.Node) {
	on := func(n *config.Node) bool { return set(l.flag(n), true) }
	a := &l.c.API
	a.CallIDInErrors = on(g.Get("include_call_id_in_error_body"))
	a.ExposeFallbackErrors = on(g.Get("expose_fallback_errors_to_caller"))
	a.OpenDetails = on(g.Get("allow_public_health_readiness_details"))
	a.StreamCost = on(s.Get("include_cost_in_streaming_usage"))
	a.AlwaysLog = on(s.Get("global_disable_no_log_param"))
	a.NoAgentTags = on(s.Get("disable_add_user_agent_to_request_tags"))
	for _, n := range l.list(s.Get("extra_spend_tag_headers")) {
		name, ok := n.Str()
		if !ok || !httpguts.ValidHeaderFieldName(name) {
			l.report(finding.Warning, n, "%s cannot be a header; it is left out", n.Path())
			continue
		}
		if secretHeaders[http.CanonicalHeaderKey(name)] {
			l.report(finding.Warning, n, "%s holds keys, which must not become tags; it is left out", n.Path())
			continue
		}
		a.SpendTags = append(a.SpendTags, name)
	}
	l.c.Unpriced = on(s.Get("block_requests_for_models_without_pricing"))
	if on(g.Get("infer_model_from_keys")) {
		a.Inferred = l.inferred()
	}
	l.seats(g)
}

// secretHeaders are those that keys come in.
var secretHeaders = map[string]bool{
	"Authorization": true, "X-Litellm-Api-Key": true, "Api-Key": true, "X-Api-Key": true, "X-Goog-Api-Key": true,
	"Ocp-Apim-Subscription-Key": true, "Cookie": true, "Proxy-Authorization": true,
}

// inferred are the models of the providers whose key is in the environment.
func (l *loader) inferred() (names []string) {
	for _, p := range catalog.Providers() {
		if !p.Supported() || !slices.ContainsFunc(p.KeyVars, func(name string) bool { return l.env.Get(name) != "" }) {
			continue
		}
		names = append(names, catalog.ModelNames(p.Name)...)
	}
	return names
}

// seats reads how many requests are served at once. What is wrong there turns the
// bound off, as in LiteLLM, and is said.
func (l *loader) seats(g *config.Node) {
	n := g.Get("max_in_flight_requests_per_worker")
	queue, wait := g.Get("max_queued_requests_per_worker"), g.Get("admission_queue_timeout_seconds")
	if n.IsNull() {
		for _, other := range []*config.Node{queue, wait} {
			if !other.IsNull() {
				l.report(finding.Warning, other, "%s has no effect without general_settings.max_in_flight_requests_per_worker", other.Path())
			}
		}
		return
	}
	most := l.whole(n, 1, 1e6)
	if most == nil {
		return
	}
	o := api.Seats{InFlight: *most, Queued: *most, Wait: time.Second}
	if !queue.IsNull() {
		waiting := l.whole(queue, 0, 1e6)
		if waiting == nil {
			l.report(finding.Warning, n, "%s is left out with it", n.Path())
			return
		}
		o.Queued = *waiting
	}
	if !wait.IsNull() {
		f := l.number(wait, 0, maxSeconds)
		if f == nil || *f == 0 {
			l.report(finding.Warning, wait, "%s must be above 0; requests are not bounded", wait.Path())
			return
		}
		o.Wait = time.Duration(*f * float64(time.Second))
	}
	l.c.API.Seats = o
}

// urlHosts reads the hosts that names which are addresses may lead to.
func (l *loader) urlHosts(s, g *config.Node) {
	for _, n := range l.list(first(g.Get("provider_url_destination_allowed_hosts"), s.Get("provider_url_destination_allowed_hosts"))) {
		if host := strings.ToLower(l.text(n)); host != "" {
			l.c.API.ClientAuth.NamedHosts = append(l.c.API.ClientAuth.NamedHosts, host)
		}
	}
}
