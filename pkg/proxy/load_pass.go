package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/api"
)

const passTimeout = 600 * time.Second

// passThrough reads general_settings.pass_through_endpoints. An entry that
// cannot work, or that would be less protected than it is written, is left out
// by name.
func (l *loader) passThrough() {
	g := l.tree.Section("general_settings")
	l.c.API.KeyHeader = l.c.Auth.KeyHeader
	timeout := l.seconds(g.Get("pass_through_request_timeout"))
	if timeout <= 0 {
		timeout = passTimeout
	}
	for _, n := range g.Get("pass_through_endpoints").Items() {
		p := api.PassThrough{Timeout: timeout}
		if why := l.passEntry(&p, n); why != "" {
			l.report(finding.Error, n, "%s is disabled: %s", n.Path(), why)
			continue
		}
		l.c.API.PassThrough = append(l.c.API.PassThrough, p)
	}
}

// passEntry reads one entry; the result says why it is left out.
func (l *loader) passEntry(p *api.PassThrough, n *config.Node) (why string) {
	p.Path = l.text(n.Get("path"))
	if !strings.HasPrefix(p.Path, "/") || p.Path == "/" {
		return "path must begin with / and name a route of its own"
	}
	if api.Serves(p.Path) {
		return p.Path + " is an endpoint of the gateway itself, which comes first"
	}
	target := l.text(n.Get("target"))
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "target must be an http or https address without a user"
	}
	p.Target = u
	if !n.Get("guardrails").IsNull() {
		return "it has guardrails, which this build cannot run; without them traffic would be less protected than configured"
	}
	p.Open = set(l.flag(n.Get("auth")), false)
	p.ForwardHeaders = set(l.flag(n.Get("forward_headers")), true)
	p.MergeQuery = set(l.flag(n.Get("merge_query_params")), true)
	p.Subpaths = set(l.flag(n.Get("include_subpath")), true)
	if cost := l.number(n.Get("cost_per_request"), 0, 1e6); cost != nil {
		p.Cost = *cost
	}
	if t := l.seconds(n.Get("timeout")); t > 0 {
		p.Timeout = t
	}
	switch parser := l.text(n.Get("custom_auth_parser")); parser {
	case "":
	case "langfuse":
		p.BasicKey = true
	default:
		return "custom_auth_parser " + parser + " is not known, langfuse is"
	}
	for _, item := range n.Get("methods").Items() {
		method := strings.ToUpper(l.text(item))
		if !slices.Contains([]string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}, method) {
			return "method " + method + " is not one of GET, POST, PUT, PATCH and DELETE"
		}
		p.Methods = append(p.Methods, method)
	}
	for _, item := range n.Get("default_query_params").Items() {
		text, ok := item.Scalar()
		if !ok {
			return item.Path() + " must be text or a number"
		}
		if p.Query == nil {
			p.Query = url.Values{}
		}
		p.Query.Set(item.Key, text)
	}
	return l.passHeaders(p, n.Get("headers"))
}

// set reports whether a flag is there and says what is asked for.
func set(flag *bool, to bool) bool { return flag != nil && *flag == to }

// passHeaders reads the headers of an entry. A value may hold a reference behind
// other text, here alone.
func (l *loader) passHeaders(p *api.PassThrough, n *config.Node) (why string) {
	p.Header = http.Header{}
	secret := func(v string) { p.Secrets = append(p.Secrets, redact.New(v)) }
	pair := map[string]string{}
	for _, item := range n.Items() {
		text, ok := item.Scalar()
		if !ok || item.IsNull() {
			return item.Path() + " has no value; is the variable set that it refers to?"
		}
		if i := strings.Index(text, refPrefix); i >= 0 {
			name := text[i+len(refPrefix):]
			v := l.env.Get(name)
			if v == "" {
				return item.Path() + " refers to " + name + ", which is not set"
			}
			secret(v)
			text = text[:i] + v
		}
		if strings.ContainsAny(text, "\r\n\x00") {
			return item.Path() + " holds a line break"
		}
		switch item.Key {
		case "litellm_user_api_key":
			p.KeyHeader = text
			continue
		case "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY":
			pair[item.Key] = text
			continue
		}
		if item.Ref != "" || config.SecretName(item.Key) {
			secret(text)
		}
		p.Header.Set(item.Key, text)
	}
	if len(pair) > 0 {
		p.Header.Set("Authorization", api.BasicHeader(pair["LANGFUSE_PUBLIC_KEY"], pair["LANGFUSE_SECRET_KEY"]))
		secret(p.Header.Get("Authorization"))
	}
	return ""
}

const refPrefix = "os.environ/"
