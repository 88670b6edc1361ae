package difftest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
)

// providerAsk is one kind of call.
type providerAsk struct{ name, path, body string }

var providerAsks = []providerAsk{
	{"chat", "/v1/chat/completions", `{"model":"%s","messages":[{"role":"developer","content":"be brief"},{"role":"user","content":"hi"}],"max_completion_tokens":16,"temperature":0.5}`},
	{"stream", "/v1/chat/completions", `{"model":"%s","messages":[{"role":"user","content":"hi"}],"stream":true}`},
	{"embedding", "/v1/embeddings", `{"model":"%s","input":"hi"}`},
	{"completion", "/v1/completions", `{"model":"%s","prompt":"hi","max_tokens":5}`},
}

// TestProvidersAreCalledAlike has both proxies call every provider of OpenAI's
// format, once with its own address and the first of its key variables, once
// with its last base variable and its last key variable, and once with an
// address of the entry's, and compares what arrives: address, headers, body.
func TestProvidersAreCalledAlike(t *testing.T) {
	_ = litellmProgram(t) // or there is nothing to compare
	seen := map[string]bool{}
	rounds := []struct {
		name string
		base func(p catalog.Provider) string // litellm_params.api_base
		env  func(p catalog.Provider) []string
	}{
		{"own address", func(p catalog.Provider) string {
			if p.Base == "" || strings.Contains(p.Base, "localhost") || strings.Contains(p.Base, "127.0.0.1") {
				return "https://needs-one.example/v1"
			}
			return ""
		}, func(p catalog.Provider) []string {
			if len(p.KeyVars) == 0 {
				return nil
			}
			return []string{p.KeyVars[0] + "=key-first"}
		}},
		{"variables", func(p catalog.Provider) string {
			if len(p.BaseVars) == 0 {
				return "https://no-variable.example/v1"
			}
			return ""
		}, func(p catalog.Provider) (env []string) {
			if n := len(p.KeyVars); n > 0 {
				env = append(env, p.KeyVars[n-1]+"=key-last")
			}
			if n := len(p.BaseVars); n > 0 {
				env = append(env, p.BaseVars[n-1]+"=https://variable.example/v1")
			}
			return env
		}},
		{"entry", func(p catalog.Provider) string { return "https://entry.example/custom" }, func(p catalog.Provider) []string {
			return []string{"OR_SITE_URL=https://site", "OR_APP_NAME=app", "OPENAI_ORGANIZATION=org"}
		}},
	}
	var list []catalog.Provider
	for _, p := range catalog.Providers() {
		if p.Supported() {
			list = append(list, p)
		}
	}
	for _, r := range rounds {
		t.Run(r.name, func(t *testing.T) {
			var b strings.Builder
			var env []string
			b.WriteString("model_list:\n")
			for _, p := range list {
				if p.Priority > 2 && r.name != "own address" {
					continue
				}
				params := fmt.Sprintf("model: %s/some-model", p.Name)
				if base := r.base(p); base != "" {
					params += fmt.Sprintf(", api_base: %q", base)
				}
				if r.name == "entry" {
					params += ", api_key: key-own"
				}
				fmt.Fprintf(&b, "- {model_name: %s, litellm_params: {%s}}\n", p.Name, params)
				for _, kv := range r.env(p) {
					if !slices.Contains(env, kv) {
						env = append(env, kv)
					}
				}
			}
			fmt.Fprintf(&b, "general_settings: {master_key: %s}\nrouter_settings: {num_retries: 0, disable_cooldowns: true}\nlitellm_settings: {num_retries: 0, drop_params: true}\n", master)
			theirs, ours := beside(t, b.String(), env, providerAnswer)
			for _, p := range list {
				for _, a := range providerAsks {
					if p.Priority > 2 && (r.name != "own address" || a.name != "chat" && a.name != "stream") {
						continue
					}
					body := fmt.Sprintf(a.body, p.Name)
					l, lr := theirs.ask(t, a.path, body)
					o, or := ours.ask(t, a.path, body)
					for _, d := range calls(l, o, lr, or) {
						name := r.name + " " + p.Name + " " + a.name
						if k := providerDifference(name, d); k != "" {
							seen[k] = true
							continue
						}
						t.Errorf("%s: %s", name, d)
					}
				}
			}
		})
	}
	for _, k := range knownProviders {
		if !seen[k.id()] {
			t.Errorf("no longer a difference: %s", k.id())
		}
	}
}

// knownProviders are the differences that docs/compatibility.md explains.
var knownProviders = []difference{
	is(".* (openai|azure) chat", "member messages .*", "OpenAI and Azure know developers"),
	is(".*", "member stream false, ours none", "what a client does not say is not said"),
	is("entry .*", "header openai-organization .*", "an organization goes to OpenAI alone"),
	is(".* custom_openai .*", "header authorization .*", "OPENAI_API_KEY goes to OpenAI alone"),
	is(".* (openrouter|perplexity|novita) .*", "header (http-referer|x-title|x-pplx-integration|x-novita-source) .*", "llmgw does not introduce itself as LiteLLM"),
	is(".* openrouter .*", "member usage .*", "OpenRouter tells the usage without being asked"),
	is(".* ollama(_chat)? .*", ".*", "Ollama is reached through its OpenAI endpoint"),
	is(".* (zai|nscale|hyperbolic|v0|morph|nadir) chat", "member max_tokens none, ours 16", "a limit is sent by the name that the provider knows"),
	is(".* embedding", `member input \["hi"\], ours "hi"`, "one text is sent as one text"),
	is(".* azure embedding", "member encoding_format .*", "the SDK within LiteLLM asks for base64"),
	is(".* embedding", "called false, ours true: 400 \"litellm.BadRequestError: Unmapped LLM provider.*", "every provider may be asked for embeddings"),
	is(".* openai_like .*", "called false, ours true: 400 \"litellm.BadRequestError: Unmapped LLM provider.*", "openai_like is served as custom_openai"),
	is(".* completion", "called true, ours false: .*does not serve text completions.*", "text completions are not translated into chats"),
	is(".* (custom_openai|azure) completion", "(address|member (messages|prompt)) .*", "text completions are not translated into chats"),
	is(".* (text-completion-openai|azure_text) (chat|stream)", "(address|member) .*", "chats are not translated into text completions"),
	is("variables (fireworks_ai|baseten) .*", "address .*", "base variables that LiteLLM names and does not read"),
	is("(variables|entry) perplexity embedding", "address .*", "a base that ends in /v1 gets no second one"),
	is(".* (v0|morph) chat", "member temperature none, ours 0.5", "parameters are left to the upstream to judge"),
	is(".* sarvam .*", "header api-subscription-key .*", "the key is sent in the provider's own header, too"),
	is(".* heroku .*", "address .*/v1/v1/.*", "a base that ends in /v1 gets no second one"),
	is(".* (aiohttp_openai|ai21|anyscale|salad_cloud|clarifai|gradient_ai|jina_ai|lemonade) .*", "(called false, ours true:|address|body|member stream_options) .*", "this release of LiteLLM does not reach them"),
	is("(variables|entry) volcengine embedding", "address .*", "a base is the same for every kind of call"),
}

func providerDifference(ask, what string) string {
	for _, d := range knownProviders {
		if d.ask.MatchString(ask) && d.what.MatchString(what) {
			return d.id()
		}
	}
	return ""
}

// side is one of the two, with the world it sees.
type side struct {
	base   string
	world  *world
	client *http.Client
}

// beside starts both proxies with one configuration.
func beside(t *testing.T, config string, env []string, answer func(http.ResponseWriter, *sent)) (theirs, ours *side) {
	t.Helper()
	program := litellmProgram(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	one := func(program string, patience time.Duration, args ...string) *side {
		w := newWorld(t, answer)
		for _, kv := range append(w.env(), env...) {
			name, value, _ := strings.Cut(kv, "=")
			t.Setenv(name, value)
		}
		p := process(t, program, file, patience, args...)
		time.Sleep(200 * time.Millisecond) // what is asked at the start
		w.before = w.take()
		return &side{p.base, w, &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{}}}
	}
	return one(program, 2*time.Minute), one(bin, 10*time.Second, "serve")
}

// ask sends a request and returns the last thing that the world has seen of it.
func (s *side) ask(t *testing.T, path, body string) (*sent, reply) {
	t.Helper()
	r, err := answer(s.client, s.base, ask{method: http.MethodPost, path: path, body: body})
	if err != nil {
		s.client.CloseIdleConnections()
		s.world.take()
		if r, err = answer(s.client, s.base, ask{method: http.MethodPost, path: path, body: body}); err != nil {
			t.Fatal(err)
		}
	}
	list := s.world.take()
	if len(list) == 0 {
		return nil, r
	}
	return list[len(list)-1], r
}

// providerAnswer is what every provider answers.
func providerAnswer(w http.ResponseWriter, r *sent) {
	u, _ := url.Parse(r.url)
	w.Header().Set("Content-Type", "application/json")
	var body struct{ Stream bool }
	_ = json.Unmarshal(r.body, &body)
	switch {
	case strings.Contains(u.Path, "embed"):
		fmt.Fprint(w, `{"object":"list","model":"m","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"usage":{"prompt_tokens":1,"total_tokens":1}}`)
	case strings.HasSuffix(u.Path, "/completions") && !strings.HasSuffix(u.Path, "/chat/completions") && !body.Stream:
		fmt.Fprint(w, `{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"hi","finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	case body.Stream:
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\ndata: [DONE]\n\n")
	default:
		fmt.Fprint(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}
}

// ofTheClient are headers that say who asks and how, not what.
var ofTheClient = []string{"Accept", "Accept-Encoding", "Connection", "Content-Length", "Content-Type", "User-Agent", "Host", "Proxy-Connection", "Keep-Alive"}

// calls compares what arrived.
func calls(l, o *sent, lr, or reply) []string {
	switch {
	case l == nil && o == nil:
		return nil
	case l == nil || o == nil:
		return []string{fmt.Sprintf("called %v, ours %v: %d %.200q, ours %d %.200q", l != nil, o != nil, lr.status, said(lr), or.status, said(or))}
	}
	var d []string
	if l.method != o.method || l.url != o.url {
		d = append(d, fmt.Sprintf("address %s %s, ours %s %s", l.method, l.url, o.method, o.url))
	}
	names := map[string]bool{}
	for _, h := range []http.Header{l.header, o.header} {
		for name := range h {
			names[name] = true
		}
	}
	for _, name := range keys(names) {
		if slices.Contains(ofTheClient, name) || strings.HasPrefix(name, "X-Stainless-") {
			continue
		}
		if a, b := l.header.Get(name), o.header.Get(name); a != b {
			d = append(d, fmt.Sprintf("header %s %q, ours %q", strings.ToLower(name), a, b))
		}
	}
	var lb, ob map[string]any
	if json.Unmarshal(l.body, &lb) != nil || json.Unmarshal(o.body, &ob) != nil {
		return append(d, fmt.Sprintf("body %.300s, ours %.300s", l.body, o.body))
	}
	for _, k := range keys(union(lb, ob)) {
		a, b := lb[k], ob[k]
		if !reflect.DeepEqual(a, b) {
			x, _ := json.Marshal(a)
			y, _ := json.Marshal(b)
			if _, has := lb[k]; !has {
				x = []byte("none")
			}
			if _, has := ob[k]; !has {
				y = []byte("none")
			}
			d = append(d, fmt.Sprintf("member %s %s, ours %s", k, x, y))
		}
	}
	sort.Strings(d)
	return d
}
