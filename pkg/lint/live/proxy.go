package live

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Proxy is what one address of the gateway answered.
type Proxy struct {
	Address   string         `json:"address"`
	Failure   *Failure       `json:"failure,omitempty"`
	Public    bool           `json:"public"`
	Status    map[string]int `json:"status,omitempty"` // by request; 0 is no answer
	Health    string         `json:"health,omitempty"` // status of the readiness body
	DB        string         `json:"db,omitempty"`
	Version   string         `json:"version,omitempty"`
	Headers   []string       `json:"headers,omitempty"` // that tell too much, by name
	InFlight  *int           `json:"in_flight,omitempty"`
	Login     bool           `json:"known_login"` // a login of the tutorials was accepted
	LoginRan  bool           `json:"login_tried"`
	Overheads []float64      `json:"overhead_ms,omitempty"`
	Probe     string         `json:"probe,omitempty"` // why the probe gave no number
	TLS       *Certificate   `json:"tls,omitempty"`
	Clock     *Clock         `json:"clock,omitempty"`
}

// Certificate is what a TLS handshake showed.
type Certificate struct {
	Version string    `json:"version"`
	Ends    time.Time `json:"ends"`
}

const (
	wellKnownKey = "sk-1234"
	bodyLimit    = 1 << 20
)

// leaks are headers that outsiders should not see.
var leaks = []string{"x-litellm-model-api-base", "x-litellm-key-spend", "x-litellm-version"}

// frameworks are the words of a server header that name what runs.
var frameworks = []string{"uvicorn", "gunicorn", "hypercorn", "granian"}

func (o *Options) proxy(ctx context.Context, u *rule.Unit, address string) Proxy {
	p := Proxy{Address: strings.TrimRight(address, "/"), Status: map[string]int{}}
	base, err := url.Parse(p.Address)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		p.Failure = &Failure{"settings", "--url needs an address such as http://gateway:4000"}
		return p
	}
	base.User = nil
	p.Address = base.String()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	client := &http.Client{
		Transport: transport, Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	first := true
	get := func(name, path, key string) (*http.Response, []byte) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Address+path, nil)
		if err != nil {
			return nil, nil
		}
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		if first {
			req = req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
				p.Public = o.isPublic(c.Conn.RemoteAddr())
			}}))
		}
		before := time.Now()
		resp, body, err := do(client, req)
		if err != nil {
			if p.Failure == nil && first {
				p.Failure = connectFailure(err)
			}
			p.Status[name] = 0
			return nil, nil
		}
		p.Status[name] = resp.StatusCode
		if first {
			if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
				p.Clock = clock(at, before, time.Now(), time.Second)
			}
			if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
				p.TLS = &Certificate{tls.VersionName(resp.TLS.Version), resp.TLS.PeerCertificates[0].NotAfter}
			}
		}
		for _, h := range leaks {
			if resp.Header.Get(h) != "" && !slices.Contains(p.Headers, h) {
				p.Headers = append(p.Headers, h)
			}
		}
		for _, word := range frameworks {
			if strings.Contains(strings.ToLower(resp.Header.Get("Server")), word) && !slices.Contains(p.Headers, "server: "+word) {
				p.Headers = append(p.Headers, "server: "+word)
			}
		}
		return resp, body
	}
	get("liveliness", "/health/liveliness", "")
	if p.Failure != nil {
		return p
	}
	first = false
	if resp, body := get("readiness", "/health/readiness", ""); resp != nil {
		var ready struct {
			Status  any    `json:"status"`
			DB      any    `json:"db"`
			Version string `json:"litellm_version"`
		}
		if json.Unmarshal(body, &ready) == nil {
			p.Health, _ = ready.Status.(string)
			p.DB, _ = ready.DB.(string)
			p.Version = ready.Version
		}
	}
	get("models without a key", "/v1/models", "")
	get("models with sk-1234", "/v1/models", wellKnownKey)
	for _, path := range []string{"/docs", "/redoc", "/openapi.json", "/metrics"} {
		get(path, path, "")
	}
	key := o.key(u)
	if key != "" {
		if resp, body := get("backlog", "/health/backlog", key); resp != nil && resp.StatusCode == http.StatusOK {
			var n struct {
				InFlight *int `json:"in_flight_requests"`
			}
			if json.Unmarshal(body, &n) == nil {
				p.InFlight = n.InFlight
			}
		}
	}
	if o.AuthProbe {
		o.tryLogins(ctx, client, &p)
	}
	if o.Probe != "" {
		o.tryModel(ctx, client, &p, key)
	}
	return p
}

// key is the gateway's: the one given, else the master key.
func (o *Options) key(u *rule.Unit) string {
	if !o.APIKey.IsZero() {
		return o.APIKey.Reveal()
	}
	if text, _ := o.text(u, "general_settings.master_key"); text != "" {
		return text
	}
	text, _ := o.env(u)("LITELLM_MASTER_KEY")
	return text
}

func do(client *http.Client, req *http.Request) (*http.Response, []byte, error) {
	req.Header.Set("User-Agent", "llmgw-doctor")
	resp, err := client.Do(req)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, bodyLimit))
	return resp, body, nil
}

// tryLogins tries the logins of the tutorials, three at most: failed ones are
// counted by the server.
func (o *Options) tryLogins(ctx context.Context, client *http.Client, p *Proxy) {
	p.LoginRan = true
	for _, password := range []string{wellKnownKey, "admin"} {
		form := url.Values{"username": {"admin"}, "password": {password}}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Address+"/login", strings.NewReader(form.Encode()))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, _, err := do(client, req)
		if err != nil || resp.StatusCode == http.StatusNotFound {
			p.LoginRan = false
			return
		}
		// A login that works leads to the UI, one that does not answers 401.
		if resp.StatusCode < 400 && (resp.Header.Get("Location") != "" || len(resp.Cookies()) > 0) {
			p.Login = true
			return
		}
	}
}

// tryModel makes ten small calls, which are billed.
func (o *Options) tryModel(ctx context.Context, client *http.Client, p *Proxy, key string) {
	body, _ := json.Marshal(map[string]any{"model": o.Probe, "max_tokens": 1, "messages": []map[string]string{{"role": "user", "content": "ping"}}})
	for range 10 {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Address+"/v1/chat/completions", bytes.NewReader(body))
		if err != nil {
			return
		}
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, _, err := do(client, req)
		switch {
		case err != nil:
			p.Probe = redact.Text(err.Error())
			return
		case resp.StatusCode != http.StatusOK:
			p.Probe = "the call of " + o.Probe + " answers " + strconv.Itoa(resp.StatusCode)
			return
		}
		ms, err := strconv.ParseFloat(resp.Header.Get("x-litellm-overhead-duration-ms"), 64)
		if err != nil {
			p.Probe = "the answer carries no x-litellm-overhead-duration-ms"
			return
		}
		p.Overheads = append(p.Overheads, ms)
	}
}

// isPublic reports whether an address belongs to the internet.
func (o *Options) isPublic(a net.Addr) bool {
	port, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return false
	}
	if o.public != nil {
		return o.public(port.Addr())
	}
	ip := port.Addr().Unmap()
	return !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !netip.MustParsePrefix("100.64.0.0/10").Contains(ip)
}

// local reports whether a host is this machine.
func local(host string) bool {
	if host == "" || host == "localhost" || strings.HasPrefix(host, "/") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
