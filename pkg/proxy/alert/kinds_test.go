package alert

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// bodies keeps what is posted, by path.
type bodies struct {
	mu   sync.Mutex
	list map[string][]string
}

func keepBodies(t *testing.T) (*bodies, string) {
	b := &bodies{list: map[string][]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		b.mu.Lock()
		b.list[r.URL.Path] = append(b.list[r.URL.Path], string(body))
		b.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(s.Close)
	return b, s.URL
}

func (b *bodies) at(path string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.list[path]...)
}

func in(region, id string) *call.Deployment {
	d := *deployment
	d.ID, d.Region = id, region
	return &d
}

func failed(d *call.Deployment, class call.Class) call.Call {
	c := failing(class)
	c.Deployment, c.FailedAttempts = d, []call.FailedAttempt{{Deployment: d, Err: c.Err}}
	return c
}

func TestTheTextOfAnOutageIsLiteLLMs(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Types: []string{Outage}, Minor: 2, Major: 4})
	a.Record([]call.Call{failing(call.ClassTimeout), failing(call.ClassInternalServer), failing(call.ClassRateLimit)})
	want := "\n\nMessage: \n\n\n*⚠️ Minor Service Outage*\n\n\n*Model Name:* `gpt-x`\n*Provider:* `openai`\n*API Base:* `https://up/v1`\n\n\n*Errors:*\n\nTimeout Errors: 1\n\nAPI Errors: 1\n\n\n*Last Check:* `0.0s ago`\n\n\n"
	if text := eventually(t, r, 1)[0]; !strings.HasSuffix(text, want) || !strings.HasPrefix(text, "Alert type: `outage_alerts`\nLevel: `Medium`\n") {
		t.Errorf("got %q\nwant %q", text, want)
	}
}

func TestARegionIsOutWhenTwoOfItsDeploymentsFail(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Types: []string{Region}, Minor: 2, Major: 4})
	for range 5 { // one alone is no region
		a.Record([]call.Call{failed(in("eu", "one"), call.ClassInternalServer)})
	}
	time.Sleep(60 * time.Millisecond)
	if list := r.got(); len(list) != 0 {
		t.Fatalf("got %q", list)
	}
	a.Record([]call.Call{failed(in("us", "three"), call.ClassInternalServer), failed(in("eu", "two"), call.ClassInternalServer)})
	text := eventually(t, r, 1)[0]
	if !strings.HasPrefix(text, "Alert type: `outage_alerts`") || !strings.Contains(text, "*⚠️ Minor Service Outage*\n\n\n*Region Name:* `eu`\n*Provider:* `openai`\n\n\n*Errors:*\n\nAPI Errors: 6\n") {
		t.Errorf("got %q", text)
	}
	a.Record([]call.Call{failed(in("eu", "two"), call.ClassInternalServer)})
	if text := eventually(t, r, 2)[1]; !strings.Contains(text, "*⚠️ Major Service Outage*") || !strings.Contains(text, "Level: `High`") {
		t.Errorf("got %q", text)
	}
}

func TestADigestIsOneMessageForManyAlerts(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Types: []string{Exception}, Digest: map[string]time.Duration{Exception: 300 * time.Millisecond}})
	for range 3 {
		a.Record([]call.Call{failing(call.ClassInternalServer), failing(call.ClassTimeout)})
	}
	time.Sleep(40 * time.Millisecond)
	if list := r.got(); len(list) != 0 {
		t.Errorf("told before its time: %q", list)
	}
	text := eventually(t, r, 1)[0]
	for _, want := range []string{"Alert type: `llm_exceptions` (Digest)\nLevel: `High`\nStart: `20", "`\nEnd: `20", "`\nCount: `6`\n\nMessage: LLM API call failed: `litellm.InternalServerError"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	a.Close() // what is gathered is not lost
	if list := r.got(); len(list) != 2 || !strings.Contains(list[1], "Count: `1`") {
		t.Errorf("got %q", list)
	}
}

func TestTheDailyReportNamesTheWorstDeployments(t *testing.T) {
	r := &receiver{}
	now := time.Unix(1_000_000, 0)
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	forward := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	a := start(t, r, Options{Types: []string{Daily}, now: clock})
	slow := *deployment
	slow.ID, slow.Configured = "d2", "openai/slow"
	for i := range 7 { // more than are named
		d := *deployment
		d.ID, d.Configured = string(rune('e'+i)), "openai/quick-"+string(rune('a'+i))
		a.Record([]call.Call{{Deployment: &d, UpstreamTime: time.Millisecond, Usage: call.Usage{CompletionTokens: 10}}})
	}
	a.Record([]call.Call{
		failing(call.ClassInternalServer), failing(call.ClassRateLimit), failing(call.ClassClientGone),
		{Deployment: &slow, UpstreamTime: 2 * time.Second, Usage: call.Usage{CompletionTokens: 100}},
		{Deployment: &slow, UpstreamTime: 4 * time.Second, Usage: call.Usage{CompletionTokens: 100}},
	})
	forward(11 * time.Hour)
	time.Sleep(60 * time.Millisecond)
	if list := r.got(); len(list) != 0 {
		t.Fatalf("told before its time: %q", list)
	}
	forward(time.Hour)
	text := eventually(t, r, 1)[0]
	if want := "Alert type: `daily_reports`\n\nTime: `1043200`s\nHere are today's key metrics 📈: \n\n\n\n*❗️ Top Deployments with Most Failed Requests:*\n\n" +
		"\t1. Deployment: `openai/gpt-x`, Failed Requests: `2`,  API Base: `https://up/v1`\n\n\n*😅 Top Slowest Deployments:*\n\n" +
		"\t1. Deployment: `openai/slow`, Latency per output token: `0.03s/token`,  API Base: `https://up/v1`\n\n"; !strings.HasPrefix(text, want) {
		t.Errorf("got %q\nwant %q", text, want)
	}
	if !strings.HasSuffix(text, "\n\nNext Run is at: `1086400`s") || strings.Count(text, "s/token") != worst {
		t.Errorf("got %s", text)
	}
	forward(13 * time.Hour) // nothing has happened since
	time.Sleep(60 * time.Millisecond)
	if list := r.got(); len(list) != 1 {
		t.Errorf("got %q", list)
	}
}

func TestTeamsGetsACard(t *testing.T) {
	kept, url := keepBodies(t)
	a := New(Options{Teams: redact.New(url + "/teams"), Interval: time.Hour})
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	a.Close()
	list := kept.at("/teams")
	if len(list) != 1 {
		t.Fatalf("got %q", list)
	}
	var card struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type, Version string
				Body          []struct {
					Type, Text string
					Wrap       bool
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(list[0]), &card); err != nil {
		t.Fatal(err)
	}
	at := card.Attachments[0]
	if card.Type != "message" || at.ContentType != "application/vnd.microsoft.card.adaptive" || at.Content.Type != "AdaptiveCard" || at.Content.Version != "1.4" ||
		at.Content.Body[0].Type != "TextBlock" || !at.Content.Body[0].Wrap || !strings.Contains(at.Content.Body[0].Text, "Alert type: `llm_exceptions`") {
		t.Errorf("got %s", list[0])
	}
}

func TestTeamsGetsOneByOneWhatSlackGetsAsADigest(t *testing.T) {
	kept, url := keepBodies(t)
	a := New(Options{URL: redact.New(url + "/slack"), Teams: redact.New(url + "/teams"), Types: []string{Exception}, Interval: time.Hour, Digest: map[string]time.Duration{Exception: time.Hour}})
	a.Record([]call.Call{failing(call.ClassInternalServer), failing(call.ClassTimeout)})
	a.Close()
	if slack, teams := kept.at("/slack"), kept.at("/teams"); len(slack) != 1 || !strings.Contains(slack[0], "(Digest)") || len(teams) != 2 || strings.Contains(teams[0], "(Digest)") {
		t.Errorf("Slack got %q, Teams %q", slack, teams)
	}
}

func TestARegionsOutageGoesWhereOutagesGo(t *testing.T) {
	kept, url := keepBodies(t)
	a := New(Options{URL: redact.New(url + "/all"), ByKind: map[string][]redact.Secret{Outage: {redact.New(url + "/outages")}}, Types: []string{Region}, Interval: time.Hour, Minor: 2})
	a.Record([]call.Call{failed(in("eu", "one"), call.ClassInternalServer), failed(in("eu", "two"), call.ClassInternalServer)})
	a.Close()
	if len(kept.at("/outages")) != 1 || len(kept.at("/all")) != 0 {
		t.Errorf("got %v", kept.list)
	}
}

func TestPagerDutyIsCalledWhenMuchFails(t *testing.T) {
	kept, url := keepBodies(t)
	a := New(Options{Interval: 10 * time.Millisecond, Pager: &Pager{Key: redact.New("routing-key-1"), URL: url + "/pd", Failures: 8, HangingAfter: 30 * time.Millisecond, Hanging: 2}})
	defer a.Close()
	who := &call.Identity{KeyHash: "hash", UserID: "u"}
	for range 7 {
		c := failing(call.ClassRateLimit)
		c.Caller, c.Route = who, "/v1/chat/completions"
		a.Record([]call.Call{c})
	}
	a.Record([]call.Call{failing(call.ClassClientGone)})
	time.Sleep(40 * time.Millisecond)
	if list := kept.at("/pd"); len(list) != 0 {
		t.Fatalf("called too early: %q", list)
	}
	c := failing(call.ClassInternalServer)
	c.Caller = who
	a.Record([]call.Call{c})
	wait := func(n int) string {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if list := kept.at("/pd"); len(list) >= n {
				return list[n-1]
			}
		}
		t.Fatal("nobody was called")
		return ""
	}
	var got struct {
		Key     string `json:"routing_key"`
		Action  string `json:"event_action"`
		Payload struct {
			Summary, Severity, Source, Component string
			Details                              struct {
				Errors []map[string]any `json:"recent_errors"`
			} `json:"custom_details"`
		}
	}
	if err := json.Unmarshal([]byte(wait(1)), &got); err != nil {
		t.Fatal(err)
	}
	last := got.Payload.Details.Errors[len(got.Payload.Details.Errors)-1]
	if got.Key != "routing-key-1" || got.Action != "trigger" || got.Payload.Summary != "High LLM API Failure Rate: 8 in the last 60 seconds." || got.Payload.Severity != "critical" ||
		got.Payload.Source != "LiteLLM Alert" || got.Payload.Component != "LiteLLM" || len(got.Payload.Details.Errors) != shownEvents ||
		last["failure_event_type"] != "failed_response" || last["error_class"] != "InternalServerError" || last["error_code"] != "500" || last["error_llm_provider"] != "openai" || last["user_api_key_hash"] != "hash" {
		t.Errorf("got %+v", got)
	}
	for range 2 {
		defer a.End(a.Begin(&call.Call{Model: "stuck", Start: time.Now(), Caller: who, Route: "/v1/chat/completions"}))
	}
	if text := wait(2); !strings.Contains(text, "High Number of Hanging LLM Requests: 2 in the last 600 seconds.") || !strings.Contains(text, `"failure_event_type":"hanging_response"`) {
		t.Errorf("got %s", text)
	}
}

func TestCooldownsAreToldOnlyWhereTheyAreNamed(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{})
	a.Cooled(deployment, call.Cooldown{Status: 429, For: time.Second})
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	if list := eventually(t, r, 1); !strings.Contains(list[0], "llm_exceptions") {
		t.Errorf("got %q", list)
	}
}
