package wire

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForward(t *testing.T) {
	prepared := http.Header{"Authorization": {"Bearer up"}, "X-Team": {"ours"}, "Content-Type": {"application/json"}}
	client := http.Header{}
	for name, value := range map[string]string{
		"x-trace": "1", "X-TEAM": "theirs", "anthropic-beta": "b", "x-request-id": "r",
		"Authorization": "Bearer virtual", "x-api-key": "k", "X-Goog-Api-Key": "k", "x-stainless-lang": "js", "x-litellm-timeout": "1",
		"Cookie": "c", "Connection": "close", "Content-Type": "text/plain", "Accept-Encoding": "br", "OpenAI-Organization": "o", "Host": "h",
	} {
		client.Set(name, value)
	}
	want := http.Header{
		"Authorization": {"Bearer up"}, "X-Team": {"ours"}, "Content-Type": {"application/json"},
		"X-Trace": {"1"}, "Anthropic-Beta": {"b"}, "X-Request-Id": {"r"},
	}
	if d := cmp.Diff(want, Forward(prepared, client)); d != "" {
		t.Error(d)
	}
	if len(prepared) != 3 {
		t.Errorf("the prepared headers are changed: %v", prepared)
	}
	if n := testing.AllocsPerRun(10, func() { Forward(prepared, http.Header{"Cookie": {"c"}}) }); n > 2 {
		t.Errorf("%v allocations for nothing", n)
	}
}
