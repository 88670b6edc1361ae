package proxy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestRoutesThatAreMissingSaySo asks every route that docs/compatibility.md says
// to answer 501.
func TestRoutesThatAreMissingSaySo(t *testing.T) {
	page, err := os.ReadFile("../../docs/compatibility.md")
	if err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(string(page), "answer 501 in the envelope of errors")
	list, _, _ = strings.Cut(list, "\n## ")
	paths := regexp.MustCompile("`(/[^`]*)`").FindAllStringSubmatch(list, -1)
	if !ok || len(paths) < 60 {
		t.Fatalf("%d routes are listed", len(paths))
	}
	_, url := gateway(t, Config{})
	for _, p := range paths {
		for _, send := range []func() (int, string){
			func() (int, string) { r, b := asked(t, url+p[1], true); return r.StatusCode, b },
			func() (int, string) { r, b := post(t, url+p[1], `{"model":"x"}`); return r.StatusCode, b },
		} {
			status, body := send()
			var e struct {
				Error struct{ Message, Type, Code string }
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil || status != 501 || e.Error.Code != "501" || e.Error.Type != "not_implemented_error" ||
				!strings.HasPrefix(e.Error.Message, p[1]+" is an endpoint of LiteLLM that this version of llmgw does not serve") {
				t.Errorf("%s: %d %s", p[1], status, body)
			}
		}
		if r, b := asked(t, url+p[1], false); r.StatusCode != 401 {
			t.Errorf("%s without a key: %d %s", p[1], r.StatusCode, b)
		}
	}
}
