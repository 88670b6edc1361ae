package live

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Upstream is what one address of a provider showed.
type Upstream struct {
	Address string           `json:"address"` // scheme://host:port
	Models  []string         `json:"models"`  // the first few that use it
	Pos     finding.Position `json:"position"`
	Failure *Failure         `json:"failure,omitempty"`
	TLS     *Certificate     `json:"tls,omitempty"`
	Proxy   string           `json:"proxy,omitempty"`
	// Status is what GET /models with the key answered; 0 when not asked.
	Status int `json:"models_status,omitempty"`
}

// endpoint is an address to look at.
type endpoint struct {
	Upstream
	base  *url.URL
	key   redact.Secret
	tls   *tls.Config
	group catalog.Provider
}

// endpoints are the distinct addresses of the configured models.
func (o *Options) endpoints(m *rule.Model) []endpoint {
	var out []endpoint
	at := map[string]int{}
	if m == nil {
		return nil
	}
	for _, u := range m.Units {
		env := o.env(u)
		getenv := func(name string) string { v, _ := env(name); return v }
		for i, n := range u.Section("model_list").Items() {
			params := n.Get("litellm_params")
			if params == nil {
				continue
			}
			prefix := fmt.Sprintf("model_list[%d].litellm_params.", i)
			text := func(key string) string { v, _ := o.text(u, prefix+key); return v }
			base := text("api_base")
			pos := params.Get("api_base")
			if base == "" {
				base, pos = text("base_url"), params.Get("base_url")
			}
			p := catalog.Params{CustomProvider: text("custom_llm_provider"), APIBase: base}
			provider, model, _ := catalog.Split(text("model"), p)
			p.Model = model
			t, ok := catalog.Endpoint(provider, p, getenv)
			if ok {
				base = t.Base
			}
			address, err := url.Parse(base)
			if err != nil || address.Host == "" || address.Scheme != "http" && address.Scheme != "https" {
				continue
			}
			address.User = nil
			where := address.Scheme + "://" + hostPort(address)
			name := text("model")
			if v, _ := n.Get("model_name").Scalar(); v != "" {
				name = v
			}
			if k, ok := at[where]; ok {
				if len(out[k].Models) < 5 {
					out[k].Models = append(out[k].Models, name)
				}
				continue
			}
			if pos == nil {
				pos = params
			}
			known, _ := catalog.LookupProvider(provider)
			key := text("api_key")
			for _, name := range known.KeyVars {
				if key == "" {
					key = getenv(name)
				}
			}
			e := endpoint{Upstream: Upstream{Address: where, Models: []string{name}, Pos: pos.Where()}, base: address, key: redact.New(key), group: known}
			e.tls = o.tlsFor(u, params.Get("ssl_verify") != nil, prefix+"ssl_verify", address.Hostname(), getenv)
			at[where] = len(out)
			out = append(out, e)
		}
	}
	return out
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// tlsFor is how the gateway would check a certificate.
func (o *Options) tlsFor(u *rule.Unit, own bool, path, host string, getenv func(string) string) *tls.Config {
	c := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if !own {
		path = "litellm_settings.ssl_verify"
	}
	word, _ := o.text(u, path)
	if word == "" {
		word = getenv("SSL_VERIFY")
	}
	switch strings.ToLower(word) {
	case "false", "0", "no", "off":
		c.InsecureSkipVerify = true // as the gateway does; its end is looked at all the same
		return c
	}
	file := word
	if strings.EqualFold(word, "true") || word == "" {
		file = getenv("SSL_CERT_FILE")
	}
	if file == "" || !filepath.IsAbs(file) {
		return c
	}
	if pem, err := os.ReadFile(file); err == nil {
		pool := x509.NewCertPool()
		if pool.AppendCertsFromPEM(pem) {
			c.RootCAs = pool
		}
	}
	return c
}

// upstream looks at name, network and TLS, each within 3 s, and sends no
// request.
func (o *Options) upstream(ctx context.Context, e endpoint) Upstream {
	out := e.Upstream
	conn, via, err := dial(ctx, e.base)
	out.Proxy = via
	if err != nil {
		out.Failure = connectFailure(err)
		return out
	}
	defer conn.Close()
	if e.base.Scheme == "https" {
		shake, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		secure := tls.Client(conn, e.tls)
		if err := secure.HandshakeContext(shake); err != nil {
			out.Failure = connectFailure(err)
			out.Failure.Stage = "tls"
			return out
		}
		state := secure.ConnectionState()
		out.TLS = &Certificate{tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter}
	}
	if o.Models && !e.key.IsZero() {
		out.Status = o.listModels(ctx, e)
	}
	return out
}

// dial opens a connection as the environment says: directly, or through an
// HTTP proxy.
func dial(ctx context.Context, to *url.URL) (net.Conn, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	d := &net.Dialer{}
	via, err := http.ProxyFromEnvironment(&http.Request{URL: to})
	if err != nil || via == nil || via.Scheme != "http" && via.Scheme != "" {
		conn, err := d.DialContext(ctx, "tcp", hostPort(to))
		return conn, "", err
	}
	name := hostPort(via)
	conn, err := d.DialContext(ctx, "tcp", name)
	if err != nil {
		return nil, name, fmt.Errorf("the proxy %s: %w", name, err)
	}
	if to.Scheme == "http" {
		return conn, name, nil
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostPort(to)}, Host: hostPort(to), Header: http.Header{}}
	if via.User != nil {
		password, _ := via.User.Password()
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(via.User.Username(), password)
		req.Header.Set("Proxy-Authorization", r.Header.Get("Authorization"))
	}
	resp, err := func() (*http.Response, error) {
		if err := req.Write(conn); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(conn), req)
	}()
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		return conn, name, conn.SetDeadline(time.Time{})
	case err == nil:
		err = errors.New("it answers " + resp.Status)
	}
	conn.Close()
	return nil, name, fmt.Errorf("the proxy %s: %w", name, err)
}

// listModels asks for the list of models, which no provider bills.
func (o *Options) listModels(ctx context.Context, e endpoint) int {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = e.tls.Clone()
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(e.base.String(), "/")+"/models", nil)
	if err != nil {
		return 0
	}
	req.Header.Set("Authorization", "Bearer "+e.key.Reveal())
	if header := e.group.KeyHeader; header != "" {
		req.Header.Set(header, e.key.Reveal())
	}
	if e.group.Name == "anthropic" {
		req.Header.Set("x-api-key", e.key.Reveal())
		req.Header.Set("anthropic-version", "2023-06-01")
		req.Header.Del("Authorization")
	}
	resp, _, err := do(client, req)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}
