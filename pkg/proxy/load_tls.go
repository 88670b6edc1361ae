package proxy

import (
	"crypto/tls"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/pkg/proxy/upstream"
)

// trust reads how the certificates of upstreams are checked. word is true,
// false, or the path of a bundle of authorities.
func trust(word, client string, getenv func(string) string) upstream.Trust {
	t := upstream.Trust{CertFile: client, CAFile: getenv("SSL_CERT_FILE")}
	switch on, _, ok := litellm.ParseEnvBool("SSL_VERIFY", word); {
	case word == "":
	case ok:
		t.Insecure = !on
	default:
		t.CAFile = strings.TrimSpace(word)
	}
	return t
}

// certificates reads what litellm_settings and the environment say about the
// certificates of upstreams.
func (l *loader) certificates() {
	s := l.tree.LiteLLM()
	l.client = l.text(s.Node.Get("ssl_certificate"))
	if name := l.env.Get("SSL_CERTIFICATE"); name != "" {
		l.client = name
	}
	word := ""
	if s.SSLVerify.Set() {
		word = s.SSLVerify.V
	}
	l.trusts = map[upstream.Trust]*tls.Config{}
	l.c.Upstream.TLS = l.trust(trust(word, l.client, l.env.Get), s.Node.Get("ssl_verify"), "")
}

// ownTrust reads a deployment's ssl_verify; nil when there is none.
func (l *loader) ownTrust(n *config.Node, name string) *tls.Config {
	if n.IsNull() {
		return nil
	}
	word, ok := n.Scalar()
	if !ok {
		l.report(finding.Warning, n, "%s must be true, false or the path of a file, not %s; it is left out", n.Path(), n.Kind)
		return nil
	}
	return l.trust(trust(word, l.client, l.env.Get), n, name)
}

// made are the ways to check certificates that were read so far. The client keeps
// connections by them: a configuration that is read anew and says the same must
// not begin with none. They become more only when a file's certificates change.
var made struct {
	sync.Mutex
	list []*tls.Config
}

// known returns the one that says the same as c, and was made first.
func known(c *tls.Config) *tls.Config {
	made.Lock()
	defer made.Unlock()
	for _, m := range made.list {
		if sameTrust(m, c) {
			return m
		}
	}
	made.list = append(made.list, c)
	return c
}

// trust reads the files, once for all that name the same. Where they cannot be
// used the system's authorities judge: an upstream that needs the others fails
// its checks, and none goes unchecked.
func (l *loader) trust(t upstream.Trust, n *config.Node, model string) *tls.Config {
	if c, done := l.trusts[t]; done {
		return c
	}
	c, err := t.Config()
	if err != nil {
		l.report(finding.Error, n, "certificates of upstreams are checked by the system's authorities: %s", err)
		c, _ = upstream.Trust{Insecure: t.Insecure}.Config()
	}
	c = known(c)
	l.trusts[t] = c
	if t.Insecure {
		what := "certificates of upstreams are not checked"
		if model != "" {
			what = "certificates of upstreams like that of " + model + " are not checked"
		}
		l.report(finding.Warning, n, "%s: whoever is on the way can read prompts and keys; give ssl_verify the path of a CA bundle instead", what)
	}
	return c
}
