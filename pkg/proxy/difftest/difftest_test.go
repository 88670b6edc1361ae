package difftest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/mock"
)

const master = "sk-differential-0123456789abcdef"

const config = `model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/mock, api_base: "UPSTREAM/v1", api_key: k}
  - model_name: "group/*"
    litellm_params: {model: "openai/*", api_base: "UPSTREAM/v1", api_key: k}
  - model_name: embed
    litellm_params: {model: openai/mock-embed, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {mode: embedding}
  - model_name: other
    litellm_params: {model: openai/mock-other, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {id: id-1}
  - model_name: image
    litellm_params: {model: openai/gpt-image-1, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {mode: image_generation}
  - model_name: tts
    litellm_params: {model: openai/tts-1, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {mode: audio_speech}
  - model_name: whisper
    litellm_params: {model: openai/whisper-1, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {mode: audio_transcription}
  - model_name: moderate
    litellm_params: {model: openai/omni-moderation-latest, api_base: "UPSTREAM/v1", api_key: k}
  - model_name: rank
    litellm_params: {model: jina_ai/jina-reranker, api_base: "UPSTREAM/v1", api_key: k}
    model_info: {mode: rerank}
general_settings: {master_key: ` + master + `}
router_settings: {num_retries: 0, disable_cooldowns: true}
litellm_settings: {request_timeout: 20, num_retries: 0}
`

// TestLiteLLMAnswersAlike is the comparison. With -v it prints the whole list.
func TestLiteLLMAnswersAlike(t *testing.T) {
	theirs, ours := start(t)
	client := &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{DisableCompression: true}}
	seen := map[string]bool{}
	var unknown []string
	n := 0
	for _, a := range asks() {
		n++
		l, err := answer(client, theirs.base, a)
		if err != nil { // it resets kept connections now and then
			client.CloseIdleConnections()
			l, err = answer(client, theirs.base, a)
		}
		if err != nil {
			t.Errorf("%s: LiteLLM: %v", a.name, err)
			continue
		}
		o, err := answer(client, ours.base, a)
		if err != nil {
			t.Errorf("%s: llmgw: %v", a.name, err)
			continue
		}
		for _, d := range differences(l, o) {
			if k := knownAs(a.name, d); k != "" {
				seen[k] = true
				t.Logf("%s: %s (known: %s)", a.name, d, k)
				continue
			}
			unknown = append(unknown, a.name+": "+d)
		}
	}
	sort.Strings(unknown)
	for _, u := range unknown {
		t.Error(u)
	}
	for _, k := range known {
		if !seen[k.id()] {
			t.Errorf("no longer a difference: %s", k.id())
		}
	}
	t.Logf("%d requests, %d differences that no entry explains", n, len(unknown))
}

// proxy is a running one: its address and its process group.
type proxy struct {
	base  string
	group int
}

// start runs the upstream and both proxies, and returns them.
func start(t *testing.T) (theirs, ours proxy) {
	t.Helper()
	program := litellmProgram(t)
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	dir := t.TempDir()
	file := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "UPSTREAM", up.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	theirs = process(t, program, file, 2*time.Minute)
	ours = process(t, bin, file, 10*time.Second, "serve")
	return theirs, ours
}

// litellmProgram is the installed LiteLLM; without one the test is skipped.
func litellmProgram(t *testing.T) string {
	t.Helper()
	program := os.Getenv("LLMGW_LITELLM")
	if program == "" {
		program = filepath.Join(testenv.CacheDir(t), "litellm", "bin", "litellm")
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("difftest: skipped, LiteLLM is not installed: run make differential, or set LLMGW_LITELLM to its executable")
	}
	return program
}

func process(t *testing.T, program, file string, patience time.Duration, args ...string) proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	cmd := exec.Command(program, append(args, "--config", file, "--host", "127.0.0.1", "--port", port)...)
	cmd.Dir = filepath.Dir(file)
	cmd.Env = append(os.Environ(), "LITELLM_LOCAL_MODEL_COST_MAP=True", "LITELLM_LOG=ERROR")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		time.AfterFunc(10*time.Second, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		_ = cmd.Wait()
	})
	base := "http://127.0.0.1:" + port
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if resp, err := http.Get(base + "/health/liveliness"); err == nil {
			resp.Body.Close()
			return proxy{base, cmd.Process.Pid}
		}
		if time.Now().After(end) {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Fatalf("%s does not come up:\n%s", program, out.String())
		}
	}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
	broken error // reading the body failed
}

func answer(client *http.Client, base string, a ask) (reply, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	var body io.Reader
	if a.method == "POST" {
		body = strings.NewReader(a.body)
	}
	req, err := http.NewRequestWithContext(ctx, a.method, base+a.path, body)
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+master)
	if a.method == "POST" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range a.headers {
		if v == "" {
			req.Header.Del(k)
		} else {
			req.Header.Set(k, v)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	r := reply{status: resp.StatusCode, header: resp.Header}
	r.body, r.broken = io.ReadAll(resp.Body)
	return r, nil
}

// differences compares two replies: status, content type, names of headers,
// and the body by its shape. Error bodies are compared by their values.
func differences(l, o reply) []string {
	var d []string
	if l.status != o.status {
		d = append(d, fmt.Sprintf("status %d, ours %d: %.200q, ours %.200q", l.status, o.status, said(l), said(o)))
	}
	if (l.status < 400) != (o.status < 400) {
		return d // an answer and a refusal have nothing in common
	}
	lt, ot := mediaType(l.header), mediaType(o.header)
	if lt != ot {
		d = append(d, fmt.Sprintf("content-type %q, ours %q", lt, ot))
	}
	for name := range l.header {
		if len(o.header[name]) == 0 && !hopByHop[name] {
			d = append(d, "header missing: "+strings.ToLower(name))
		}
	}
	for name := range o.header {
		// More headers on an error say more; nothing breaks by them.
		if len(l.header[name]) == 0 && o.status < 400 && !hopByHop[name] {
			d = append(d, "header added: "+strings.ToLower(name))
		}
	}
	if (l.broken == nil) != (o.broken == nil) {
		d = append(d, fmt.Sprintf("body broken: %v, ours %v", l.broken != nil, o.broken != nil))
	}
	switch {
	case lt != ot:
	case lt == "text/event-stream":
		ls, os := events(l.body), events(o.body)
		if !slices.Equal(ls, os) {
			d = append(d, compareLists("events", ls, os)...)
		}
	case lt == "application/json" && len(l.body) > 1<<20 && len(o.body) > 0:
		// The description of hundreds of endpoints that only LiteLLM has.
	case lt == "application/json":
		d = append(d, compareJSON(l.body, o.body, l.status >= 400)...)
	case lt == "text/plain" && string(l.body) != string(o.body):
		d = append(d, fmt.Sprintf("text %.80q, ours %.80q", l.body, o.body))
	}
	sort.Strings(d)
	return d
}

// said is what an answer says for people.
func said(r reply) string {
	var v struct {
		Error  struct{ Message string }
		Detail any
	}
	if r.status < 400 || json.Unmarshal(r.body, &v) != nil {
		return ""
	}
	if v.Detail != nil {
		return fmt.Sprint(v.Detail)
	}
	return v.Error.Message
}

// hopByHop headers are a matter of how a body is framed.
var hopByHop = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Connection": true, "Llm_provider-Transfer-Encoding": true, "Llm_provider-Content-Length": true, "Server": true}

func mediaType(h http.Header) string {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return t
}

// events are the shapes of the events of a stream; runs of one shape count once.
func events(body []byte) []string {
	var out []string
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		shape := line
		if name == "data" {
			var v any
			if json.Unmarshal([]byte(value), &v) == nil {
				m, _ := v.(map[string]any)
				if e, isError := m["error"]; isError {
					b, _ := json.Marshal(e)
					shape = "error " + string(b)
				} else {
					paths := map[string]bool{}
					walk("", v, paths)
					shape = strings.Join(keys(paths), " ")
				}
			}
		}
		if len(out) == 0 || out[len(out)-1] != shape {
			out = append(out, shape)
		}
	}
	return out
}

func keys(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// walk collects path:type of everything in v.
func walk(path string, v any, out map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		out[path+":object"] = true
		for k, e := range v {
			walk(path+"."+k, e, out)
		}
	case []any:
		out[path+":list"] = true
		for _, e := range v {
			walk(path+"[]", e, out)
		}
	case nil: // a member that is null says as much as none
	case string:
		out[path+":text"] = true
	case float64:
		out[path+":number"] = true
	case bool:
		out[path+":bool"] = true
	}
}

func compareJSON(l, o []byte, values bool) []string {
	var lv, ov any
	if err := json.Unmarshal(l, &lv); err != nil {
		return nil
	}
	if err := json.Unmarshal(o, &ov); err != nil {
		return []string{"our body is no JSON"}
	}
	var d []string
	if values {
		lm, _ := lv.(map[string]any)
		om, _ := ov.(map[string]any)
		le, lok := lm["error"].(map[string]any)
		oe, ook := om["error"].(map[string]any)
		if lok && ook {
			for _, k := range keys(union(le, oe)) {
				if k == "message" {
					le[k] = routerNote.ReplaceAllString(fmt.Sprint(le[k]), "")
				}
				if fmt.Sprint(le[k]) != fmt.Sprint(oe[k]) {
					d = append(d, fmt.Sprintf("error.%s %q, ours %q", k, fmt.Sprint(le[k]), fmt.Sprint(oe[k])))
				}
			}
			return d
		}
		if lm["detail"] != nil || om["detail"] != nil {
			if fmt.Sprint(lm["detail"]) != fmt.Sprint(om["detail"]) {
				d = append(d, fmt.Sprintf("detail %q, ours %q", fmt.Sprint(lm["detail"]), fmt.Sprint(om["detail"])))
			}
			return d
		}
	}
	lp, op := map[string]bool{}, map[string]bool{}
	walk("", lv, lp)
	walk("", ov, op)
	return compareLists("body", keys(lp), keys(op))
}

// routerNote is what LiteLLM's router adds to the message of the last error: a
// sentence about fallbacks, and the values of its own timeouts.
var routerNote = regexp.MustCompile(`(?s)\n\n(Deployment Info: .*|LiteLLM: model group .*)`)

func union(a, b map[string]any) map[string]bool {
	out := map[string]bool{}
	for k := range a {
		out[k] = true
	}
	for k := range b {
		out[k] = true
	}
	return out
}

func compareLists(what string, l, o []string) []string {
	var d []string
	once := func(text string) {
		if !slices.Contains(d, text) {
			d = append(d, text)
		}
	}
	for _, x := range l {
		if !slices.Contains(o, x) {
			once(what + " lacks " + x)
		}
	}
	for _, x := range o {
		if !slices.Contains(l, x) {
			once(what + " adds " + x)
		}
	}
	if d == nil && len(l) != len(o) {
		d = append(d, fmt.Sprintf("%s in another order: %d, ours %d", what, len(l), len(o)))
	}
	return d
}
