package difftest

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/pkg/mock"
)

const alertsConfig = `model_list:
  - model_name: bad
    litellm_params: {model: openai/mock/500, api_base: "UPSTREAM/v1", api_key: k, region_name: eu}
  - model_name: gone
    litellm_params: {model: openai/mock/503, api_base: "UPSTREAM/v1", api_key: k, region_name: eu}
  - model_name: slow
    litellm_params: {model: openai/mock/latency-3s, api_base: "UPSTREAM/v1", api_key: k}
  - model_name: strict
    litellm_params: {model: openai/mock/400, api_base: "UPSTREAM/v1", api_key: k}
general_settings:
  master_key: ` + master + `
  alerting: [slack, ms_teams]
  alerting_threshold: 1
  alert_to_webhook_url: {llm_too_slow: "RECEIVER/slow", outage_alerts: ["RECEIVER/one", "RECEIVER/two"]}
  alert_type_config: {llm_too_slow: {digest: true, digest_interval: 2}}
  alerting_args: {minor_outage_alert_threshold: 2, major_outage_alert_threshold: 4}
router_settings: {num_retries: 0, disable_cooldowns: true}
litellm_settings: {request_timeout: 20, num_retries: 0}
`

// alertNoise is what differs from run to run, or on purpose: the prompt is in no
// alert of ours, and what no fallback did is not told.
var alertNoise = strings.NewReplacer("\n\nLiteLLM: model group 'bad' failed with the error above. No fallback was attempted.", "",
	"\n\nLiteLLM: model group 'gone' failed with the error above. No fallback was attempted.", "",
	"\n\nLiteLLM: model group 'strict' failed with the error above. No fallback was attempted.", "", "/v1/`", "/v1`")

var alertVaries = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile("\nMessages: `.*`"), ""},
	{regexp.MustCompile(`^\[Num Alerts: \d+\]\n\n`), ""},
	{regexp.MustCompile("(Timestamp|Start|End): `[-0-9: ]+`"), "$1: `when`"},
	{regexp.MustCompile(`\d+(\.\d+)?s response time`), "Ns response time"},
	{regexp.MustCompile(`Errors: \d+`), "Errors: N"},
	{regexp.MustCompile("Last Check:\\* `[0-9.]+s ago`"), "Last Check:* `0s ago`"},
}

// TestAlertsAreLiteLLMs makes the same calls fail, last and hang in both, and
// compares what arrives at Slack's and Teams' addresses.
func TestAlertsAreLiteLLMs(t *testing.T) {
	program := litellmProgram(t)
	m := mock.New(mock.Options{Seed: 1})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	bin := filepath.Join(t.TempDir(), "llmgw")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/llmgw/llmgw").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// Both have a receiver of their own.
	told := func(program string, args ...string) []string {
		var mu sync.Mutex
		got := map[string]bool{}
		receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var message struct {
				Text        string
				Attachments []struct {
					Content struct{ Body []struct{ Text string } }
				}
			}
			if err := json.Unmarshal(body, &message); err != nil {
				t.Errorf("%s: %s", r.URL.Path, body)
				return
			}
			text := message.Text
			if len(message.Attachments) > 0 {
				text = message.Attachments[0].Content.Body[0].Text
			}
			text = alertNoise.Replace(text)
			for _, v := range alertVaries {
				text = v.what.ReplaceAllString(text, v.by)
			}
			mu.Lock()
			defer mu.Unlock()
			got[r.URL.Path+" "+text] = true
		}))
		t.Cleanup(receiver.Close)
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(strings.NewReplacer("UPSTREAM", up.URL, "RECEIVER", receiver.URL).Replace(alertsConfig)), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("SLACK_WEBHOOK_URL", receiver.URL+"/slack")
		t.Setenv("MS_TEAMS_WEBHOOK_URL", receiver.URL+"/teams")
		p := process(t, program, file, 2*time.Minute, args...)
		client := &http.Client{Timeout: 30 * time.Second}
		for _, model := range []string{"slow", "bad", "bad", "bad", "bad", "bad", "gone", "gone", "gone", "gone", "gone", "strict", "unheard of"} {
			if _, err := answer(client, p.base, ask{method: "POST", path: "/v1/chat/completions", body: `{"model":"` + model + `","messages":[{"role":"user","content":"hi"}]}`}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond) // LiteLLM counts in the background, one after the other
		}
		time.Sleep(14 * time.Second) // both collect for five seconds, and a digest after that
		mu.Lock()
		defer mu.Unlock()
		return slices.Sorted(maps.Keys(got))
	}
	theirs := told(program)
	ours := told(bin, "serve")
	// What a provider refuses because of the request is told by LiteLLM alone.
	mistakes := func(list []string) []string {
		return slices.DeleteFunc(list, func(text string) bool { return strings.Contains(text, "litellm.BadRequestError") })
	}
	all := len(theirs)
	if theirs = mistakes(theirs); len(theirs) == all {
		t.Error("no longer a difference: LiteLLM does not tell of the mistakes of clients")
	}
	if len(theirs) < 10 {
		t.Errorf("only %d alerts of LiteLLM", len(theirs))
	}
	if d := cmp.Diff(theirs, ours); d != "" {
		t.Error("theirs -, ours +\n" + d)
	}
}
