package live

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// gateway is a stand-in whose answers a test chooses.
func gateway(t *testing.T, answers map[string]int, version string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := r.URL.Path
		if r.Header.Get("Authorization") != "" {
			path += " " + r.Header.Get("Authorization")[7:]
		}
		w.Header().Set("x-litellm-version", version)
		code, ok := answers[path]
		if !ok {
			code = map[string]int{"/health/liveliness": 200, "/health/readiness": 200, "/v1/models": 401, "/v1/models sk-1234": 401}[path]
		}
		if code == 0 {
			code = 404
		}
		if path == "/login" && code == 303 {
			w.Header().Set("Location", "/ui/")
		}
		if strings.HasPrefix(path, "/v1/chat") {
			w.Header().Set("x-litellm-overhead-duration-ms", "180")
		}
		w.WriteHeader(code)
		if path == "/health/readiness" {
			fmt.Fprintf(w, `{"status":"healthy","db":"Not connected","litellm_version":%q}`, version)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAGatewayInABadStateIsFound(t *testing.T) {
	database := plainConfig + "  database_url: postgres://u:p@127.0.0.1:1/x\n  allow_requests_on_db_unavailable: true\n"
	for _, tt := range []struct {
		name    string
		answers map[string]int
		config  string
		o       Options
		public  bool
		want    []string
	}{
		{name: "a healthy gateway"},
		{name: "one that is not alive", answers: map[string]int{"/health/liveliness": 500}, want: []string{"RUN001"}},
		{name: "one that is not ready", answers: map[string]int{"/health/readiness": 503}, config: database, want: []string{"RUN002", "RUN011"}},
		{name: "one without its database", config: database, want: []string{"RUN003", "RUN011"}},
		{name: "one without keys", answers: map[string]int{"/v1/models": 200, "/v1/models sk-1234": 200}, want: []string{"RUN004"}},
		{name: "one with the tutorial's key", answers: map[string]int{"/v1/models sk-1234": 200}, want: []string{"RUN005"}},
		{name: "one with the tutorial's login", answers: map[string]int{"/login": 303}, o: Options{AuthProbe: true}, want: []string{"RUN006"}},
		{name: "one with open documentation", answers: map[string]int{"/docs": 200}, want: []string{"RUN008"}},
		{name: "open metrics inside", answers: map[string]int{"/metrics": 200}},
		{name: "open metrics and headers outside", answers: map[string]int{"/metrics": 200}, public: true, want: []string{"RUN009", "RUN010"}},
		{name: "a slow one", answers: map[string]int{"/v1/chat/completions": 200}, o: Options{Probe: "m"}, want: []string{"RUN026"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := gateway(t, tt.answers, "1.95.2")
			o := quick(tt.o)
			o.URLs = []string{s.URL}
			o.public = func(netip.Addr) bool { return tt.public }
			var m *rule.Model
			if tt.config != "" {
				m = model(t, tt.config, "")
			}
			var got []string
			for id := range found(Judge(Observe(t.Context(), m, o), m)) {
				got = append(got, id)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestReplicasOfDifferentVersionsAreFound(t *testing.T) {
	a, b := gateway(t, nil, "1.95.2"), gateway(t, nil, "1.93.0")
	seen := Observe(t.Context(), nil, quick(Options{URLs: []string{a.URL, b.URL}}))
	if h := found(Judge(seen, nil))["RUN028"]; !strings.Contains(h.Message, "1.93.0") {
		t.Errorf("RUN028: %q", h.Message)
	}
}

func TestAHangingGatewayEndsWithTheTimeout(t *testing.T) {
	block := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-block }))
	defer s.Close()
	defer close(block)
	o := Options{URLs: []string{s.URL}, Timeout: 500 * time.Millisecond}
	start := time.Now()
	seen := Observe(t.Context(), nil, o)
	if h := found(Judge(seen, nil))["RUN001"]; !strings.Contains(h.Message, "no answer in time") {
		t.Errorf("RUN001: %q", h.Message)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if !slices.ContainsFunc(seen.Missed, func(m Missed) bool { return m.ID == "RUN004" && m.Wanted }) {
		t.Errorf("missed: %v", seen.Missed)
	}
}
