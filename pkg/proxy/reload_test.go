package proxy

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// A request in flight keeps the key, the deployments and the limits that it
// began with; the next one sees only the new ones.
func TestAReloadLeavesRequestsInFlightAlone(t *testing.T) {
	release := make(chan struct{})
	old := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		first, rest, _ := strings.Cut(okStream, "\n\n")
		io.WriteString(w, first+"\n\n")
		w.(http.Flusher).Flush()
		<-release
		io.WriteString(w, rest)
	})
	fresh := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	p, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "old", old)}})
	req, _ := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(`{"model":"fast","stream":true,"messages":[]}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()

	next := Config{Deployments: []*call.Deployment{deployment(t, "new", fresh)}, Auth: auth.Options{MasterKey: redact.New("sk-the-next-key")}}
	next.API.MaxBody = 200
	next.Health.Details = true
	did, err := p.Replace(next)
	if err != nil || did.New != 1 || did.Gone != 1 || did.Deployments != 1 || len(did.Stay) != 0 {
		t.Fatalf("replaced %+v, %v", did, err)
	}
	if n := p.live.Load().api.InFlight(); n != 1 {
		t.Errorf("%d requests in flight after the reload", n)
	}
	if r, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`); r.StatusCode == 200 {
		t.Errorf("the old key gets %d %s", r.StatusCode, body)
	}
	if r, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`, "Authorization", "Bearer sk-the-next-key"); r.StatusCode != 200 || r.Header.Get("x-litellm-model-id") != "new" {
		t.Errorf("the new key gets %d %s", r.StatusCode, body)
	}
	if r, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[],"user":"`+strings.Repeat("u", 300)+`"}`, "Authorization", "Bearer sk-the-next-key"); r.StatusCode == 200 || !strings.Contains(body, "too large") {
		t.Errorf("a body beyond the new limit gets %d %s", r.StatusCode, body)
	}
	close(release)
	whole, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(whole), "data: [DONE]\n\n") {
		t.Errorf("the stream ended with %v: %s", err, whole)
	}
}

// What another configuration may not do must leave everything as it is.
func TestAReloadThatFailsChangesNothing(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	})
	p, url := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}})
	twice := Config{Auth: auth.Options{MasterKey: redact.New("sk-other")}, Deployments: []*call.Deployment{deployment(t, "d2", base), deployment(t, "d2", base)}}
	if _, err := p.Replace(twice); err == nil {
		t.Fatal("two deployments with one id were accepted")
	}
	if r, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`); r.StatusCode != 200 || r.Header.Get("x-litellm-model-id") != "d1" {
		t.Errorf("afterwards %d %s", r.StatusCode, body)
	}
}

// Deployments that stay stay in their cooldown: a reload must not send traffic
// to what has just failed.
func TestACooldownOutlivesAReload(t *testing.T) {
	p, _ := gateway(t, Config{Deployments: []*call.Deployment{deployment(t, "a", "http://127.0.0.1:1/v1"), deployment(t, "b", "http://127.0.0.1:1/v1")}})
	p.router.Cool("a", time.Minute)
	if _, err := p.Replace(Config{Auth: auth.Options{MasterKey: masterKey}, Deployments: []*call.Deployment{deployment(t, "a", "http://127.0.0.1:1/v1"), deployment(t, "c", "http://127.0.0.1:1/v1")}}); err != nil {
		t.Fatal(err)
	}
	if cooling := p.router.Cooling(); len(cooling) != 1 || cooling["a"] < 50*time.Second {
		t.Errorf("cooling %v", cooling)
	}
}

const reloadBase = `
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o, api_key: k, api_base: "http://127.0.0.1:1"}}
litellm_settings: {cache: true, callbacks: [prometheus, otel, generic_api], success_callback: [], failure_callback: [], cache_params: {type: redis, host: 127.0.0.1, port: 1}, enable_end_user_cost_tracking_prometheus_only: true}
general_settings: {background_health_checks: true, alerting: [slack]}
router_settings: {redis_host: 127.0.0.1, redis_port: 1}
llmgw: {}
`

// reloadSparse has little, so that what is set second there counts here.
const reloadSparse = `
model_list:
- {model_name: m, litellm_params: {model: openai/gpt-4o, api_key: k, api_base: "http://127.0.0.1:1"}}
litellm_settings: {num_retries: 1}
general_settings: {completion_model: m}
router_settings: {num_retries: 1}
llmgw: {}
`

// sampleValues are values to try for a setting: one of them must make a difference
// if the setting makes any.
func sampleValues(k litellm.Key, certificate string) []string {
	list := append([]string{certificate, "[generic_api]", "[otel]", "true", "false", "7", "0.25", "slack", "[x]", "[prometheus]", "local", "key", "3600", "[0.5, 2]", "{a: b}", "api_key_alias", "both", "[prometheus_system]", "{namespace: n}", "[{metrics: [litellm_requests_metric]}]", "[{group: g, metrics: [litellm_requests_metric], include_labels: [model]}]", "[[m, n]]", "{type: local}", "{x-a: b}", "{log_to_console: true}", "{llm_too_slow: {digest: true}}", "{minimum_events: 3}", "{host: r, port: 1}", "http://127.0.0.1:2", "redis://127.0.0.1:2", "/tmp/x"}, k.Values...)
	return list
}

// clientCertificate is a file with a certificate and its key, as ssl_certificate
// names one.
func clientCertificate(t *testing.T) string {
	t.Helper()
	cert, key := testenv.Certificate(t, "client")
	var both []byte
	for _, path := range []string{cert, key} {
		part, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		both = append(both, part...)
	}
	path := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOnlyWhatTheListSaysNeedsARestart tries every setting that this build acts
// on: whether it changes one of the parts that a reload leaves alone is what
// RestartKeys must say.
func TestOnlyWhatTheListSaysNeedsARestart(t *testing.T) {
	parse := func(base string, edit func(string) string) (c Config, ok bool) {
		defer func() { _ = recover() }()
		tree, _, err := config.Load(config.Sources{Data: []byte(edit(base)), File: "config.yaml", Env: config.ProcessEnv([]string{"SLACK_WEBHOOK_URL=http://127.0.0.1:1/x", "GENERIC_LOGGER_ENDPOINT=http://127.0.0.1:1/y"})})
		if err != nil {
			return c, false
		}
		c, _ = Load(tree, "test")
		ApplyEnvironment(&c, tree.Env().Get)
		return c, true
	}
	beforeServing := map[string]bool{} // known to what runs before the gateway is there
	for _, k := range RestartKeys {
		switch k.Why {
		case string(FixedCache), string(FixedRedis), string(FixedUpstream), string(FixedTelemetry):
		default:
			beforeServing[k.Path] = true
		}
	}
	certificate := clientCertificate(t)
	used := map[string]bool{}
	tried := 0
	for _, k := range litellm.Keys() {
		if !k.Implemented || !strings.Contains("general_settings litellm_settings router_settings llmgw", k.Section) || k.Section == "" {
			continue
		}
		tried++
		differs := ""
		values := sampleValues(k, certificate)
		for i := range 2 * len(values) {
			base, v := []string{reloadBase, reloadSparse}[i%2], values[i/2]
			plain, _ := parse(base, func(s string) string { return s })
			c, ok := parse(base, func(s string) string {
				// The section begins with {: put the setting in front, and drop it behind.
				line := k.Section + ": {"
				before, rest, found := strings.Cut(s, line)
				if !found {
					t.Fatalf("no %s in the sample", k.Section)
				}
				items, after, _ := strings.Cut(rest, "}\n")
				var kept []string
				for _, item := range splitFlow(items) {
					if !strings.HasPrefix(item, k.Name+":") {
						kept = append(kept, item)
					}
				}
				return before + line + strings.Join(append([]string{k.Name + ": " + v}, kept...), ", ") + "}\n" + after
			})
			if !ok {
				continue
			}
			if parts := fixed(&plain, &c); len(parts) > 0 {
				differs = fmt.Sprintf("%v with %s", parts, v)
				break
			}
		}
		listed := ""
		for _, r := range RestartKeys {
			if r.Matches(k.Path()) {
				listed = r.Path
				used[r.Path] = true
			}
		}
		switch {
		case differs != "" && listed == "":
			t.Errorf("%s changes %s: a reload leaves it alone, but RestartKeys does not say so", k.Path(), differs)
		case differs == "" && listed != "" && !beforeServing[listed]:
			t.Errorf("%s is in RestartKeys, but no value of it changes a part that stays", k.Path())
		}
	}
	if tried < 60 {
		t.Fatalf("only %d settings were tried", tried)
	}
	for _, r := range RestartKeys {
		if !used[r.Path] && !beforeServing[r.Path] && strings.Contains(r.Path, ".") {
			t.Errorf("no setting of this build is %s", r.Path)
		}
	}
}

// splitFlow cuts the members of a flow mapping at its own commas.
func splitFlow(text string) (items []string) {
	depth, from := 0, 0
	for i, r := range text {
		switch {
		case strings.ContainsRune("{[", r):
			depth++
		case strings.ContainsRune("}]", r):
			depth--
		case r == ',' && depth == 0:
			items = append(items, strings.TrimSpace(text[from:i]))
			from = i + 1
		}
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		items = append(items, rest)
	}
	return items
}

// The page for operators lists what a reload cannot change.
func TestTheOperationsPageListsWhatNeedsARestart(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range RestartKeys {
		if !strings.Contains(string(page), "| `"+k.Path+"` | "+k.Why+" |") {
			t.Errorf("docs/operations.md lacks the row | `%s` | %s |", k.Path, k.Why)
		}
	}
	if n := strings.Count(string(page), "\n| `"); n != len(RestartKeys) {
		t.Errorf("docs/operations.md has %d rows with a setting, RestartKeys %d", n, len(RestartKeys))
	}
}

func TestChangesNamesSettingsByWhatTheySay(t *testing.T) {
	tree := func(text string) *config.Tree {
		tree, _, err := config.Load(config.Sources{Data: []byte(text), File: "c.yaml", Env: config.ProcessEnv([]string{"A=1", "B=1"})})
		if err != nil {
			t.Fatal(err)
		}
		return tree
	}
	before := tree("router_settings: {num_retries: 1, timeout: os.environ/A, cooldown_time: 4}\nlitellm_settings:\n  cache: true\n  cache_params: {ttl: 1, type: local}\n  json_logs: true\n")
	after := tree("# moved\nlitellm_settings:\n  cache_params: {type: local, ttl: 1}\n  cache: false\nrouter_settings:\n  num_retries: 2\n  timeout: os.environ/B\n")
	changed, restart := Changes(before, after)
	names := func(list []*config.Node) string {
		var s []string
		for _, n := range list {
			s = append(s, n.Path())
		}
		return strings.Join(s, " ")
	}
	if got, want := names(changed), "router_settings.num_retries router_settings.cooldown_time litellm_settings.cache litellm_settings.json_logs"; got != want {
		t.Errorf("changed %s, want %s", got, want)
	}
	if got, want := names(restart), "litellm_settings.cache litellm_settings.json_logs"; got != want {
		t.Errorf("restart %s, want %s", got, want)
	}
}

// Connections to upstreams are kept by how certificates are checked: a reload
// that changes nothing there must not begin with new ones, nor leave the old.
func TestAReloadKeepsTheWayCertificatesAreChecked(t *testing.T) {
	const text = "model_list:\n- {model_name: a, litellm_params: {model: openai/x, api_key: k, ssl_verify: false}}\n- {model_name: b, litellm_params: {model: openai/x, api_key: k, ssl_verify: true}}\n"
	first, _ := load(t, text)
	second, _ := load(t, "# another line\n"+text)
	for i, d := range first.Deployments {
		if d.TLS == nil || d.TLS != second.Deployments[i].TLS {
			t.Errorf("deployment %d is checked by %p, then by %p", i, d.TLS, second.Deployments[i].TLS)
		}
	}
	if first.Upstream.TLS != second.Upstream.TLS || first.Deployments[0].TLS == first.Deployments[1].TLS {
		t.Error("checks are not told apart by what they say")
	}
}
