package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// planted are secrets in every place where a user keeps one. None has a shape
// that gives it away, so that only knowing where it came from can hide it.
var planted = map[string]string{
	"provider key in the config":     "plantedprovider7Qx",
	"master key in the config":       "sk-plantedmaster8Rw",
	"provider key in the env":        "plantedenvironment9Tz",
	"database password":              "planteddatabase4Kd",
	"Redis password":                 "plantedredis5Lm",
	"salt key":                       "sk-plantedsalt6Np",
	"Slack webhook":                  "plantedslackpath3Js",
	"key in the .env file":           "planteddotenv2Hg",
	"AWS secret":                     "plantedawssecret1Fc",
	"header in the config":           "plantedheader0Bv",
	"key under a name of a vendor":   "plantedvendorkey4Wq",
	"API key of the command line":    "sk-plantedflag6Yt",
	"key in a syntax error":          "plantedsyntax7Ub",
	"key of a duplicate":             "plantedduplicate3Mh",
	"key of the wrong type of value": "plantedwrongtype9Xc",
}

func plantedConfig(upstream string) string {
	return fmt.Sprintf(`model_list:
  - model_name: literal
    litellm_params:
      model: openai/gpt-4o
      api_key: %s
      api_base: %s
      extra_headers: {X-Vendor-Token: %s}
      vendor_api_key: %s
  - model_name: referenced
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/PLANTED_KEY, api_base: %s, aws_secret_access_key: %s}
  - model_name: twice
    litellm_params:
      model: openai/gpt-4o
      api_key: %s
      api_key: os.environ/DOTENV_KEY
general_settings:
  master_key: %s
  alerting: ["slack"]
router_settings:
  redis_host: localhost
  redis_port: 6379
  redis_password: %s
  disable_cooldowns: true
`, planted["provider key in the config"], upstream, planted["header in the config"], planted["key under a name of a vendor"],
		upstream, planted["AWS secret"], planted["key of a duplicate"], planted["master key in the config"], planted["Redis password"])
}

func plantedDir(t *testing.T, upstream string) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("config.yaml", plantedConfig(upstream))
	write("clean.yaml", strings.ReplaceAll(plantedConfig(upstream), "      api_key: "+planted["key of a duplicate"]+"\n", ""))
	write("syntax.yaml", "general_settings:\n  master_key: \""+planted["key in a syntax error"]+"\n  x: [\n")
	write("type.yaml", "general_settings:\n  master_key: ["+planted["key of the wrong type of value"]+"]\n  database_url: {password: "+planted["key of the wrong type of value"]+"}\nmodel_list:\n- x\n")
	write(".env", "DOTENV_KEY="+planted["key in the .env file"]+"\nLITELLM_SALT_KEY="+planted["salt key"]+"\n")
	write("keys.txt", planted["API key of the command line"]+"\n")
	t.Chdir(dir)
	t.Setenv("PLANTED_KEY", planted["provider key in the env"])
	t.Setenv("DATABASE_URL", "postgresql://llm:"+planted["database password"]+"@127.0.0.1:1/llm")
	t.Setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/"+planted["Slack webhook"])
	t.Setenv("LITELLM_SALT_KEY", planted["salt key"])
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("NO_COLOR", "1")
	return dir
}

func assertNothingPlanted(t *testing.T, where, text string) {
	t.Helper()
	for what, secret := range planted {
		if i := strings.Index(text, secret); i >= 0 {
			line := text[strings.LastIndexByte(text[:i], '\n')+1:]
			line, _, _ = strings.Cut(line, "\n")
			t.Errorf("%s shows the %s: %s", where, what, line)
		}
	}
}

// TestNoOutputShowsASecret runs every command over inputs full of secrets and
// searches all it prints.
func TestNoOutputShowsASecret(t *testing.T) {
	commands := []string{
		"config show -c config.yaml",
		"config show -c config.yaml --origins",
		"config show -c config.yaml --format json --origins",
		"config show -c type.yaml",
		"config validate -c config.yaml",
		"config validate -c syntax.yaml",
		"config validate -c type.yaml --format json",
		"doctor config.yaml",
		"doctor config.yaml --format json",
		"doctor config.yaml --format github",
		"doctor config.yaml --env-file .env --show-duplicates",
		"doctor config.yaml .env --fix",
		"doctor syntax.yaml type.yaml .env",
		"doctor explain --chain -c config.yaml",
		"doctor explain --pool -c config.yaml",
		"render k8s -c config.yaml",
		"render k8s -c clean.yaml --extract-secrets --explain",
		"render k8s -c clean.yaml --extract-secrets --explain=json --env-file .env",
		"render k8s -c clean.yaml --extract-secrets --target litellm --litellm-version v1.80.0",
		"render k8s -c syntax.yaml",
		"render k8s -c type.yaml",
		"migrate status --connect-wait 0",
		"migrate deploy --connect-wait 0 --format json",
		"migrate deploy -c config.yaml --connect-wait 0",
		"migrate status --connect-wait 0 --database-url postgresql://u:" + planted["database password"] + "@127.0.0.1:1/x?sslmode=nope",
		"migrate status --connect-wait 0 --database-url mysql://u:" + planted["database password"] + "@127.0.0.1:1/x",
		"serve -c syntax.yaml",
		"serve -c type.yaml",
		"serve -c config.yaml --port 0 --ssl-keyfile-path x",
		"serve -c config.yaml --validate-config",
		"bench http://127.0.0.1:1 --api-key " + planted["API key of the command line"] + " -n 1",
		"bench http://127.0.0.1:1 --keys keys.txt -n 1 --format json",
		"bench http://user:" + planted["API key of the command line"] + "@127.0.0.1:1 -n 1",
		"version --format json",
	}
	for _, line := range commands {
		t.Run(line, func(t *testing.T) {
			plantedDir(t, "http://127.0.0.1:1/v1")
			var out, errs bytes.Buffer
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			code := execute(ctx, append([]string{"llmgw"}, strings.Fields(line)...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			if text := errs.String(); strings.Contains(text, "unknown flag") || strings.Contains(text, "internal error") {
				t.Fatalf("exit %d: %s", code, text)
			}
			if out.Len()+errs.Len() == 0 {
				t.Fatal("nothing was printed, so nothing was tested")
			}
			assertNothingPlanted(t, "standard output", out.String())
			assertNothingPlanted(t, "standard error", errs.String())
		})
	}
}

// TestServingShowsNoSecret runs the gateway at its most talkative before an
// upstream that repeats the key it was sent.
func TestServingShowsNoSecret(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Echo", key)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"Incorrect API key provided: %s (header %s)","type":"invalid_request_error","code":"invalid_api_key"}}`, key, r.Header.Get("X-Vendor-Token"))
	}))
	defer upstream.Close()
	plantedDir(t, upstream.URL+"/v1")
	t.Setenv("LITELLM_LOG", "DEBUG")

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	host, port, _ := net.SplitHostPort(address)

	ctx, cancel := context.WithCancel(t.Context())
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	done := make(chan int, 1)
	go func() {
		done <- execute(ctx, []string{"llmgw", "serve", "-c", "config.yaml", "--host", host, "--port", port, "--store", "none"},
			Streams{In: strings.NewReader(""), Out: out, Err: errs})
	}()
	ask := func(path, key, body string) string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		for range 200 {
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				time.Sleep(20 * time.Millisecond)
				req.Body = io.NopCloser(strings.NewReader(body))
				continue
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			return fmt.Sprint(resp.Status, resp.Header, string(text))
		}
		t.Fatalf("the gateway did not answer\n%s\n%s", out, errs)
		return ""
	}
	for _, model := range []string{"literal", "referenced"} {
		for _, stream := range []string{"true", "false"} {
			answer := ask("/v1/chat/completions", planted["master key in the config"], `{"model":"`+model+`","stream":`+stream+`,"messages":[]}`)
			if !strings.HasPrefix(answer, "401") {
				t.Errorf("the upstream's refusal did not arrive: %s", answer)
			}
			assertNothingPlanted(t, "the answer", answer)
		}
	}
	assertNothingPlanted(t, "the refusal of an unknown key", ask("/v1/chat/completions", planted["API key of the command line"], `{}`))
	cancel()
	select {
	case code := <-done:
		if code != exitFine {
			t.Errorf("exit code %d\n%s", code, errs)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the gateway did not stop")
	}
	if len(errs.String())+len(out.String()) == 0 {
		t.Fatal("nothing was logged, so nothing was tested")
	}
	assertNothingPlanted(t, "standard output", out.String())
	assertNothingPlanted(t, "the log", errs.String())
}
