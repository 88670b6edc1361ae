package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Target is the base URL under test.
type Target struct {
	URL  *url.URL
	addr string // host:port to dial
}

// ParseTarget reads a base URL, with or without /v1.
func ParseTarget(text string) (Target, error) {
	if !strings.Contains(text, "://") {
		return Target{}, fmt.Errorf("%q is no URL: write it with its scheme, as in http://%s", text, text)
	}
	u, err := url.Parse(text)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return Target{}, fmt.Errorf("the target is no URL: %w", err)
	}
	port := u.Port()
	switch u.Scheme {
	case "http":
		if port == "" {
			port = "80"
		}
	case "https":
		if port == "" {
			port = "443"
		}
	default:
		return Target{}, fmt.Errorf("target %s: the scheme must be http or https", u.Redacted())
	}
	if u.Hostname() == "" {
		return Target{}, fmt.Errorf("target %s has no host", u.Redacted())
	}
	if u.User != nil {
		return Target{}, fmt.Errorf("target %s: give the key with --api-key-file or LITELLM_API_KEY, not in the URL", u.Redacted())
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return Target{}, fmt.Errorf("target %s: a base URL has no query and no fragment", u.Redacted())
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return Target{URL: u, addr: net.JoinHostPort(u.Hostname(), port)}, nil
}

func (t Target) String() string {
	if t.URL == nil {
		return ""
	}
	return t.URL.String()
}

// path joins the base URL, whose /v1 may be written or not, and an API path.
func (t Target) path(api string) string {
	return strings.TrimSuffix(t.URL.EscapedPath(), "/v1") + api
}

// providers are the hosts where every request costs money.
var providers = []string{
	"api.openai.com", "api.anthropic.com", ".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com",
	"generativelanguage.googleapis.com", "aiplatform.googleapis.com", "-aiplatform.googleapis.com", ".amazonaws.com",
	"api.mistral.ai", "api.cohere.com", "api.cohere.ai", "api.groq.com", "api.deepseek.com", "api.together.xyz",
	"api.together.ai", "api.fireworks.ai", "api.perplexity.ai", "openrouter.ai", "api.x.ai", "api.cerebras.ai",
	"api.sambanova.ai", "api.deepinfra.com", "router.huggingface.co", "api-inference.huggingface.co",
	"integrate.api.nvidia.com", "api.replicate.com", "api.ai21.com", "dashscope.aliyuncs.com", "api.moonshot.cn",
	"api.voyageai.com", "models.github.ai", "models.inference.ai.azure.com",
}

// Provider reports whether the target is a provider's own paid endpoint.
func (t Target) Provider() bool {
	host := strings.TrimSuffix(strings.ToLower(t.URL.Hostname()), ".")
	for _, p := range providers {
		if host == p || strings.HasPrefix(p, ".") && strings.HasSuffix(host, p) || strings.HasPrefix(p, "-") && strings.HasSuffix(host, p) {
			return true
		}
	}
	return false
}

// Private reports whether the target is one's own: loopback, a private network
// or an internal name.
func (t Target) Private(ctx context.Context) bool {
	host := strings.TrimSuffix(strings.ToLower(t.URL.Hostname()), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		return privateIP(ip)
	}
	if host == "localhost" || !strings.Contains(host, ".") {
		return true
	}
	for _, s := range []string{".localhost", ".svc", ".local", ".internal"} {
		if strings.HasSuffix(host, s) {
			return true
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(ips) == 0 {
		return false
	}
	for _, ip := range ips {
		if !privateIP(ip) {
			return false
		}
	}
	return true
}

func privateIP(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}
