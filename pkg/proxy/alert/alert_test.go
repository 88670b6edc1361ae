package alert

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// receiver is a Slack that keeps what it gets.
type receiver struct {
	mu     sync.Mutex
	texts  []string
	status int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var m struct{ Text string }
	if req.Method != "POST" || req.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &m) != nil {
		w.WriteHeader(400)
		return
	}
	r.mu.Lock()
	r.texts = append(r.texts, m.Text)
	r.mu.Unlock()
	if r.status != 0 {
		w.WriteHeader(r.status)
	}
}

func (r *receiver) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.texts...)
}

func start(t *testing.T, r *receiver, o Options) *Alerts {
	t.Helper()
	s := httptest.NewServer(r)
	o.URL = redact.New(s.URL + "/services/secret-path")
	if o.Interval == 0 {
		o.Interval = 20 * time.Millisecond
	}
	a := New(o)
	var once sync.Once
	t.Cleanup(func() {
		once.Do(a.Close)
		s.Close()
		goleak.VerifyNone(t, goleak.IgnoreCurrent())
	})
	return a
}

func eventually(t *testing.T, r *receiver, n int) []string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if list := r.got(); len(list) >= n {
			return list
		}
	}
	t.Fatalf("only %d of %d alerts came: %q", len(r.got()), n, r.got())
	return nil
}

var deployment = &call.Deployment{ID: "d1", Group: "chat", Provider: "openai", Model: "gpt-x", Configured: "openai/gpt-x", APIBase: "https://up/v1?key=hidden"}

func failing(class call.Class) call.Call {
	e := &call.Error{Class: class, Message: "litellm." + class.String() + ": it broke with sk-upstream-secret-1234567890"}
	return call.Call{Model: "chat", Deployment: deployment, Err: e, FailedAttempts: []call.FailedAttempt{{Deployment: deployment, Err: e}}}
}

func TestAFailedCallIsTold(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Interval: time.Hour, ProxyURL: "https://gw.example", Secrets: redact.NewKnown(redact.New("sk-upstream-secret-1234567890"))})
	a.Record([]call.Call{failing(call.ClassRateLimit), failing(call.ClassRateLimit), failing(call.ClassRateLimit)})
	a.Close() // sends what waits
	text := eventually(t, r, 1)[0]
	for _, want := range []string{"[Num Alerts: 3]", "Alert type: `llm_exceptions`\nLevel: `High`\nTimestamp: `", "Message: LLM API call failed: `litellm.RateLimitError: it broke", "\nModel: openai/gpt-x\nAPI Base: `https://up/v1`\nmodel_group: `chat`\n\ndeployment: `openai/gpt-x`\n`", "\n\nProxy URL: `https://gw.example`"} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	for _, not := range []string{"sk-upstream-secret", "hidden"} {
		if strings.Contains(text, not) {
			t.Errorf("shows %q:\n%s", not, text)
		}
	}
}

func TestMistakesOfClientsAreNotTold(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{})
	for _, class := range []call.Class{call.ClassGateway, call.ClassClientGone, call.ClassBadRequest, call.ClassContextWindowExceeded} {
		a.Record([]call.Call{failing(class)})
	}
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	eventually(t, r, 1)
	time.Sleep(50 * time.Millisecond)
	if list := r.got(); len(list) != 1 {
		t.Errorf("%d alerts: %q", len(list), list)
	}
}

func TestSlowAnswersAreTold(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{})
	begin := time.Unix(0, 0)
	a.Record([]call.Call{
		{Model: "chat", Deployment: deployment, Start: begin, End: begin.Add(299 * time.Second)},
		{Model: "chat", Deployment: deployment, Start: begin, End: begin.Add(310250 * time.Millisecond)},
	})
	list := eventually(t, r, 1)
	if want := "Message: `Responses are slow - 310.25s response time > Alerting threshold: 300s`\nRequest Model: `gpt-x`"; !strings.Contains(list[0], want) || !strings.Contains(list[0], "Level: `Low`") {
		t.Errorf("got %s", list[0])
	}
}

func TestCallsThatHangAreToldOnce(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Threshold: 50 * time.Millisecond})
	token := a.Begin(&call.Call{Model: "stuck", Start: time.Now()})
	other := a.Begin(&call.Call{Model: "quick", Start: time.Now()})
	a.End(other)
	eventually(t, r, 1)
	time.Sleep(150 * time.Millisecond)
	a.End(token)
	if list := r.got(); len(list) != 1 || !strings.Contains(list[0], "`Requests are hanging - 0.05s+ request time`\nRequest Model: `stuck`") || !strings.Contains(list[0], "Level: `Medium`") {
		t.Errorf("got %q", list)
	}
}

func TestOnlyTheChosenKindsAreSent(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Types: []string{Cooldown}})
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	a.Cooled(deployment, call.Cooldown{Status: 429, For: 5 * time.Second})
	list := eventually(t, r, 1)
	if len(list) != 1 || !strings.Contains(list[0], "Cooldown Time: `5 seconds`") {
		t.Errorf("got %q", list)
	}
}

func TestManyErrorsAreAnOutage(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Types: []string{Outage}})
	for range 12 {
		a.Record([]call.Call{failing(call.ClassInternalServer)})
	}
	list := eventually(t, r, 2)
	if len(list) != 2 || !strings.Contains(list[0], "*⚠️ Minor Service Outage*") || !strings.Contains(list[1], "*⚠️ Major Service Outage*") {
		t.Errorf("got %q", list)
	}
}

func TestErrorTextsCanBeKept(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Redact: true})
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	if list := eventually(t, r, 1); strings.Contains(list[0], "it broke") || !strings.Contains(list[0], "Message not logged. litellm.redact_messages_in_exceptions=True") {
		t.Errorf("got %q", list)
	}
}

func TestAlertsThatNobodyTakesAreCountedAndHoldUpNothing(t *testing.T) {
	r := &receiver{status: 500}
	failed := make(chan int, 10)
	a := start(t, r, Options{Failed: func(n int) {
		select {
		case failed <- n:
		default:
		}
	}})
	a.Record([]call.Call{failing(call.ClassInternalServer)})
	<-failed
	if a.Dropped() != 1 {
		t.Errorf("%d dropped", a.Dropped())
	}
}

func TestTheQueueOfAlertsIsBounded(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{Interval: time.Hour})
	for i := range 3 * capacity { // no two are equal
		a.raise(Exception, "High", fmt.Sprint(i), "")
	}
	if len(a.waiting) != capacity || a.Dropped() != 2*capacity {
		t.Errorf("%d wait, %d are dropped", len(a.waiting), a.Dropped())
	}
}

func TestAWebhookThatHangsHoldsUpNeitherCallsNorTheEnd(t *testing.T) {
	never := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-never:
		case <-r.Context().Done():
		}
	}))
	a := New(Options{URL: redact.New(s.URL), Interval: 10 * time.Millisecond, Threshold: 20 * time.Millisecond})
	for i := range 20 {
		c := failing(call.ClassInternalServer)
		c.Model = fmt.Sprint(i)
		a.Record([]call.Call{c})
	}
	time.Sleep(50 * time.Millisecond) // the first is being sent
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 100 {
			a.End(a.Begin(&call.Call{Model: "chat", Start: time.Now()}))
			a.Record([]call.Call{failing(call.ClassInternalServer)})
		}
		a.Begin(&call.Call{Model: "stuck", Start: time.Now()})
		for a.waits("`stuck`") == 0 { // found although nothing is taken
			time.Sleep(time.Millisecond)
		}
		a.Close()
	}()
	select {
	case <-done:
	case <-time.After(6 * patience): // twenty alerts would hold it up for longer
		t.Error("calls or the end waited for the webhook")
	}
	if a.Dropped() == 0 {
		t.Error("what was lost is not counted")
	}
	close(never)
	s.Close()
	goleak.VerifyNone(t, goleak.IgnoreCurrent())
}

// waits counts the alerts in the queue whose text holds what.
func (a *Alerts) waits(what string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.waiting {
		if strings.Contains(a.waiting[i].text, what) {
			n++
		}
	}
	return n
}

func TestAnAddressThatAsksForQuietGetsTheAlertsLater(t *testing.T) {
	var mu sync.Mutex
	texts, asked := map[string]int{}, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct{ Text string }
		_ = json.NewDecoder(r.Body).Decode(&m)
		mu.Lock()
		defer mu.Unlock()
		if asked++; asked == 2 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		texts[m.Text]++
	}))
	defer s.Close()
	a := New(Options{URL: redact.New(s.URL), Interval: 10 * time.Millisecond})
	defer a.Close()
	for i := range 3 {
		a.raise(Exception, "High", fmt.Sprint("failure ", i), "")
	}
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		mu.Lock()
		n := len(texts)
		mu.Unlock()
		if n == 3 {
			if a.Dropped() != 0 || asked != 4 {
				t.Errorf("%d dropped, %d asked", a.Dropped(), asked)
			}
			return
		}
	}
	t.Fatalf("got %v", texts)
}

func TestEveryAddressOfAKindIsTried(t *testing.T) {
	r := &receiver{}
	a := start(t, r, Options{})
	a.o.ByKind = map[string][]redact.Secret{Slow: {a.o.URL, a.o.URL}, "budget_alerts": {a.o.URL}}
	if err := a.Test(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := r.got()
	if len(list) != 3 || !strings.Contains(list[0], "Alert type: `budget_alerts`\nLevel: `Low`") || !strings.Contains(list[0], "Message: Budget Alert test alert") || !strings.Contains(list[2], "LLM Too Slow test alert") {
		t.Errorf("got %q", list)
	}
}

func TestTheWebhooksAddressIsInNoText(t *testing.T) {
	var log strings.Builder
	a := New(Options{URL: redact.New("http://127.0.0.1:1/services/T000/secret-path"), Interval: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err := a.Test(t.Context()); err == nil || strings.Contains(err.Error(), "secret-path") {
		t.Errorf("error %v", err)
	}
	a.raise(Exception, "High", "broken", "")
	a.Close()
	if text := log.String(); !strings.Contains(text, "alerts were not delivered") || strings.Contains(text, "secret-path") {
		t.Errorf("log %s", text)
	}
}
