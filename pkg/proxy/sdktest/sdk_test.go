// Package sdktest lets the SDKs that people use judge the gateway: OpenAI's for
// JavaScript and for Python, in the versions pinned in testdata, run scenarios
// against a gateway in this process, and report what they understood.
package sdktest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"net/http/httptest"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

const key = "sk-sdk-test-key"

var models = []string{"fast", "tools", "limited", "picky", "once", "breaks", "cut", "unicode", "endless"}

// gateway runs a gateway over the upstream and returns its base URL.
func gateway(t *testing.T, u *upstream) string {
	t.Helper()
	up := httptest.NewServer(u)
	t.Cleanup(up.Close)
	c := proxy.Config{Auth: auth.Options{MasterKey: redact.New(key)}}
	c.Listener.Host = "127.0.0.1"
	none := 0
	c.Router.NumRetries = &none // the SDKs' own retries are what is looked at
	c.Router.DisableCooldowns = true
	names := slices.Clone(models)
	if u.others != nil {
		names = append(names, "json", "refuse400", "refuse401", "refuse403", "refuse404", "refuse422", "refuse429", "refuse500", "refuse503")
	}
	for _, m := range names {
		d := &call.Deployment{ID: m, Group: m}
		e := provider.Entry{Model: "openai/up-" + m, APIBase: up.URL + "/v1", APIKey: redact.New("sk-upstream")}
		if status, ok := strings.CutPrefix(m, "refuse"); ok {
			e.Model = "openai/mock/" + status
		}
		if err := e.Deploy(d, wire.Chat); err != nil {
			t.Fatal(err)
		}
		c.Deployments = append(c.Deployments, d)
	}
	p, err := proxy.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return "http://" + p.Addr().String() + "/v1"
}

// installed returns a folder that install has filled for the given files,
// filling it at first use. The folder lies outside the repository and stays.
func installed(t *testing.T, kind string, files []string, proof, how string, install func(dir string) error) string {
	t.Helper()
	h := sha256.New()
	contents := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(b)
		contents[filepath.Base(f)] = b
	}
	base := testenv.CacheDir(t)
	dir := filepath.Join(base, kind+"-"+hex.EncodeToString(h.Sum(nil))[:12])
	if _, err := os.Stat(filepath.Join(dir, proof)); err == nil {
		return dir
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		t.Fatal(err)
	}
	// Filled elsewhere and moved into place, so that a test process that dies
	// half-way leaves nothing that looks complete.
	fresh, err := os.MkdirTemp(base, kind+"-new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(fresh)
	for name, b := range contents {
		if err := os.WriteFile(filepath.Join(fresh, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := install(fresh); err != nil {
		t.Logf("installing %s: %v", kind, err)
	} else if err := os.Rename(fresh, dir); err != nil && !errors.Is(err, os.ErrExist) {
		if _, statErr := os.Stat(dir); statErr != nil { // another process may have been faster
			t.Fatal(err)
		}
	}
	testenv.NeedFile(t, filepath.Join(dir, proof), kind+" SDK", how)
	return dir
}

func run(dir, program string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New(err.Error() + ": " + string(out[max(0, len(out)-600):]))
	}
	return nil
}

// scenarios runs a program against the gateway and returns what it printed.
func scenarios(t *testing.T, base string, program string, args ...string) map[string]json.RawMessage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "BASE_URL="+base, "API_KEY="+key, "NO_PROXY=127.0.0.1", "OPENAI_LOG=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	got := map[string]json.RawMessage{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return got
}

func TestOpenAINode(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs programs in Python and JavaScript, which are installed the first time; leave -short out for it")
	}
	node, npm := testenv.Need(t, "node"), testenv.Need(t, "npm")
	dir := installed(t, "openai-node", []string{"testdata/node/package.json", "testdata/node/scenarios.mjs", "testdata/node/endpoints.mjs"},
		"node_modules/openai/package.json", "npm install with access to a package registry",
		func(dir string) error {
			return run(dir, npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
		})
	u := &upstream{t: t, gone: make(chan struct{}, 1)}
	got := scenarios(t, gateway(t, u), node, filepath.Join(dir, "scenarios.mjs"))
	judge(t, got)
	expect(t, got, "runTools", `{"text":"It is sunny.","cities":["Köln","Rom"]}`)
	for name, class := range map[string]string{
		"rateLimit": "RateLimitError", "rateLimitStream": "RateLimitError", "badRequest": "BadRequestError",
		"unknownModel": "BadRequestError", "wrongKey": "BadRequestError", "faultWithin": "APIError", "truncated": "APIError",
	} {
		refused(t, got, name, class)
	}
	u.left(t)
	endpoints(t, scenarios(t, gateway(t, &upstream{t: t, others: everything(t)}), node, filepath.Join(dir, "endpoints.mjs")))
}

func TestOpenAIPython(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs programs in Python and JavaScript, which are installed the first time; leave -short out for it")
	}
	python := testenv.Need(t, "python3")
	proof := "venv/lib/openai-installed"
	dir := installed(t, "openai-python", []string{"testdata/python/requirements.txt", "testdata/python/scenarios.py", "testdata/python/endpoints.py"},
		proof, "python3 -m venv and pip install with access to a package index",
		func(dir string) error {
			if err := run(dir, python, "-m", "venv", "--copies", "venv"); err != nil {
				return err
			}
			if err := run(dir, filepath.Join(dir, "venv/bin/python"), "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "-r", "requirements.txt"); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, proof), nil, 0o644)
		})
	u := &upstream{t: t, gone: make(chan struct{}, 1)}
	got := scenarios(t, gateway(t, u), filepath.Join(dir, "venv/bin/python"), filepath.Join(dir, "scenarios.py"))
	judge(t, got)
	expect(t, got, "async", string(got["stream"]))
	for name, class := range map[string]string{
		"rateLimit": "RateLimitError", "rateLimitStream": "RateLimitError", "badRequest": "BadRequestError",
		"unknownModel": "BadRequestError", "wrongKey": "BadRequestError", "faultWithin": "APIError", "truncated": "APIError",
	} {
		refused(t, got, name, class)
	}
	u.left(t)
	endpoints(t, scenarios(t, gateway(t, &upstream{t: t, others: everything(t)}), filepath.Join(dir, "venv/bin/python"), filepath.Join(dir, "endpoints.py")))
}

// judge checks what every SDK must understand alike.
func judge(t *testing.T, got map[string]json.RawMessage) {
	t.Helper()
	const used = `{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":4}}`
	expect(t, got, "complete", `{"text":"Hello","finish":"stop","model":"fast","call":true,"usage":`+used+`}`)
	expect(t, got, "stream", `{"text":"Hello","models":["fast"],"usage":null,"empty":0,"finish":"stop","chunks":4}`)
	expect(t, got, "streamUsage", `{"text":"Hello","models":["fast"],"empty":1,"finish":"stop","chunks":5,"usage":`+used+`}`)
	const calls = `[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Köln\"}"}},
		{"id":"call_2","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Rom\"}"}}]`
	expect(t, got, "tools", `{"finish":"tool_calls","calls":`+calls+`}`)
	toolStream(t, got["toolsStream"], calls)
	expect(t, got, "models", `["breaks","cut","endless","fast","limited","once","picky","tools","unicode"]`)
	expect(t, got, "unicode", `"Grüße, 世界 👋"`)
	expect(t, got, "retried", `"second try"`)
	expect(t, got, "aborted", `3`)
}

// toolStream compares what the helpers of the SDKs assemble from fragments;
// some add members of their own to each call.
func toolStream(t *testing.T, got json.RawMessage, calls string) {
	t.Helper()
	type call struct {
		ID       string `json:"id"`
		Type     string `json:"type"`
		Function struct{ Name, Arguments string }
	}
	var g struct {
		Finish string
		Calls  []call
	}
	var want []call
	if err := errors.Join(json.Unmarshal(got, &g), json.Unmarshal([]byte(calls), &want)); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, g.Calls); d != "" || g.Finish != "tool_calls" {
		t.Errorf("toolsStream: finish %q: %s: %s", g.Finish, d, got)
	}
}

func expect(t *testing.T, got map[string]json.RawMessage, name, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got[name], &g); err != nil {
		t.Errorf("%s: %v: %s", name, err, got[name])
		return
	}
	if d := cmp.Diff(w, g); d != "" {
		t.Errorf("%s: %s\n%s", name, got[name], d)
	}
}

// refused checks that the SDK raised its own class for the failure, with what
// programs look at.
func refused(t *testing.T, got map[string]json.RawMessage, name, class string) {
	t.Helper()
	var f struct {
		Failed, Message, Type, Param, RetryAfter string
		Status                                   int
		Code                                     any
	}
	if err := json.Unmarshal(got[name], &f); err != nil {
		t.Errorf("%s: %v: %s", name, err, got[name])
		return
	}
	type facts struct {
		says, typ, code, param, after string
		status                        int
	}
	want := map[string]facts{
		"rateLimit":       {"litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for gpt-4o-mini", "throttling_error", "429", "", "7", 429},
		"rateLimitStream": {"litellm.RateLimitError: RateLimitError: OpenAIException - Rate limit reached for gpt-4o-mini", "throttling_error", "429", "", "7", 429},
		"badRequest":      {"litellm.BadRequestError: OpenAIException - Invalid value: 'x'", "invalid_request_error", "400", "messages[0].role", "", 400},
		"unknownModel":    {"Invalid model name passed in model=nobody", "None", "400", "None", "", 400},
		// Without a database every key but the master key is refused like this.
		"wrongKey":    {"No connected db.", "no_db_connection", "400", "", "", 400},
		"faultWithin": {"overloaded", "internal_server_error", "503", "", "", 0},
		"truncated":   {"closed the stream before the answer was complete", "internal_server_error", "500", "", "", 0},
	}[name]
	code, _ := f.Code.(string)
	if f.Failed != class || f.Status != want.status || !strings.Contains(f.Message, want.says) || f.RetryAfter != want.after {
		t.Errorf("%s: %s", name, got[name])
	}
	if want.typ != "" && f.Type != want.typ || want.code != "" && code != want.code || want.param != "" && f.Param != want.param {
		t.Errorf("%s: type %q, code %v, param %q: %s", name, f.Type, f.Code, f.Param, got[name])
	}
}

// left checks that a client that has left is noticed upstream.
func (u *upstream) left(t *testing.T) {
	t.Helper()
	select {
	case <-u.gone:
	case <-time.After(10 * time.Second):
		t.Error("the upstream still streams to nobody")
	}
}
