package telemetry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func FuzzAccessLinesAreWhatEncodingJSONMakesOfThem(f *testing.F) {
	f.Add("127.0.0.1:1", "POST", "/v1/chat/completions", "HTTP/1.1", 200)
	f.Add("[::1]:1", "GET", "/a\"b\\c<d>&\x00\u2028", "HTTP/1.0", 499)
	f.Fuzz(func(t *testing.T, from, method, path, proto string, status int) {
		r := &http.Request{RemoteAddr: from, Method: method, Proto: proto, URL: &url.URL{Path: path}}
		want, err := json.Marshal(fmt.Sprintf(`%s - "%s %s %s" %d`, from, method, path, proto, status))
		if err != nil {
			t.Fatal(err)
		}
		if got := appendMessage(nil, r, path, status); string(got) != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
		var line strings.Builder
		NewAccess(&line, true, nil).Line(r, status)
		if !json.Valid([]byte(line.String())) {
			t.Errorf("no JSON: %q", line.String())
		}
	})
}

func BenchmarkAccessLine(b *testing.B) {
	r := &http.Request{RemoteAddr: "127.0.0.1:54321", Method: "POST", Proto: "HTTP/1.1", URL: &url.URL{Path: "/v1/chat/completions"}}
	for _, form := range []struct {
		name string
		json bool
	}{{"uvicorn", false}, {"json", true}} {
		b.Run(form.name, func(b *testing.B) {
			a := NewAccess(discard{}, form.json, nil)
			b.ReportAllocs()
			for b.Loop() {
				a.Line(r, 200)
			}
		})
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }
