package sdktest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy"
	"github.com/llmgw/llmgw/pkg/proxy/auth"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

// recorded is one answer of a real provider in OpenAI's format.
type recorded struct {
	file, op string
	stream   bool
	body     string
}

// sample takes every stream, and every so many of the other answers.
func sample(t *testing.T, every int) (list []recorded) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testenv.Data(t), "recordings", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen, whole := map[string]bool{}, 0
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file struct {
			Interactions []struct {
				Request  struct{ Method, URL string }
				Response struct {
					Status int
					Body   json.RawMessage
				}
			}
		}
		if err := json.Unmarshal(data, &file); err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Interactions {
			path, _, _ := strings.Cut(i.Request.URL, "?")
			r := recorded{file: filepath.Base(name), body: string(i.Response.Body)}
			for suffix, op := range map[string]string{"/chat/completions": "chat", "/completions": "completions", "/embeddings": "embeddings", "/responses": "responses"} {
				if strings.HasSuffix(path, suffix) && len(op) > 0 && (r.op == "" || suffix == "/chat/completions") {
					r.op = op
				}
			}
			if r.op == "" || i.Request.Method != "POST" || i.Response.Status != 200 || r.body == "" || seen[r.body] || strings.Contains(r.body, `"error":{`) || strings.Contains(r.body, `\"error\":{`) {
				continue
			}
			seen[r.body] = true
			if r.stream = r.body[0] == '"'; r.stream {
				if err := json.Unmarshal(i.Response.Body, &r.body); err != nil {
					t.Fatal(err)
				}
			} else if whole++; whole%every != 0 || r.body[0] != '{' {
				continue
			}
			list = append(list, r)
		}
	}
	return list
}

// TestRecordingsMeanTheSameThroughTheGateway: the SDK reads each recorded
// answer from its server and through the gateway, and sees no difference.
func TestRecordingsMeanTheSameThroughTheGateway(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs programs in Python and JavaScript, which are installed the first time; leave -short out for it")
	}
	node, npm := testenv.Need(t, "node"), testenv.Need(t, "npm")
	dir := installed(t, "openai-node", []string{"testdata/node/package.json", "testdata/node/scenarios.mjs"},
		"node_modules/openai/package.json", "npm install with access to a package registry",
		func(dir string) error {
			return run(dir, npm, "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
		})
	every := 10
	if os.Getenv("LLMGW_LONG") != "" {
		every = 1
	}
	list := sample(t, every)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Model string }
		b, _ := io.ReadAll(r.Body)
		var n int
		if err := json.Unmarshal(b, &asked); err != nil {
			t.Error(err)
		}
		if _, err := fmt.Sscanf(asked.Model, "rec-%d", &n); err != nil || n >= len(list) {
			t.Errorf("asked for %q", asked.Model)
			return
		}
		w.Header().Set("Content-Type", map[bool]string{true: "text/event-stream", false: "application/json"}[list[n].stream])
		io.WriteString(w, list[n].body)
	}))
	defer up.Close()
	c := proxy.Config{Auth: auth.Options{MasterKey: redact.New(key)}}
	c.Listener.Host = "127.0.0.1"
	var asks []any
	streams := 0
	for i, r := range list {
		name := fmt.Sprintf("rec-%d", i)
		asks = append(asks, []any{name, r.op, r.stream})
		if r.stream {
			streams++
		}
		d := &call.Deployment{ID: name, Group: name}
		e := provider.Entry{Model: "openai/" + name, APIBase: up.URL + "/v1", APIKey: redact.New("sk-upstream")}
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
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	text, _ := json.Marshal(asks)
	t.Setenv("RECORDINGS", string(text))
	t.Setenv("OPENAI_SDK", filepath.Join(dir, "node_modules/openai/index.mjs"))
	script, err := filepath.Abs("testdata/node/recordings.mjs")
	if err != nil {
		t.Fatal(err)
	}
	direct := scenarios(t, up.URL+"/v1", node, script)
	through := scenarios(t, "http://"+p.Addr().String()+"/v1", node, script)
	good := 0
	for i, r := range list {
		name := fmt.Sprintf("rec-%d", i)
		if string(direct[name]) != string(through[name]) {
			t.Errorf("%s (%s): directly %s, through the gateway %s", r.file, r.op, direct[name], through[name])
		}
		if strings.Contains(string(through[name]), `"parts"`) {
			good++
		}
	}
	if streams < 40 || good < len(list)*9/10 {
		t.Errorf("%d recordings, %d streams, %d understood by the SDK", len(list), streams, good)
	}
	t.Logf("%d recordings, %d of them streams", len(list), streams)
}
