package splice

import (
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestMeasureReadsWhatIsNotCountedInTokens(t *testing.T) {
	for _, tt := range []struct {
		name, answer string
		want         call.Usage
		found        bool
	}{
		{"images", `{"created":1,"data":[{"b64_json":"x"},{"url":"y"}],"usage":{"total_tokens":7}}`, call.Usage{Images: 2}, true},
		{"a transcript's usage", `{"text":"hi","usage":{"type":"duration","seconds":12}}`, call.Usage{Seconds: 12}, true},
		{"a transcript's duration", `{"task":"transcribe","duration":8.470000267028809,"text":"hi"}`, call.Usage{Seconds: 8.470000267028809}, true},
		{"a duration as text", `{"duration":"8.5"}`, call.Usage{Seconds: 8.5}, true},
		{"search units", `{"id":"r","results":[],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":3}}}`, call.Usage{Queries: 3}, true},
		{"nothing of the kind", `{"id":"c","choices":[{"index":0}],"usage":{"prompt_tokens":1}}`, call.Usage{}, false},
		{"no object", `[1]`, call.Usage{}, false},
		{"nothing at all", ``, call.Usage{}, false},
		{"other shapes", `{"data":{},"duration":null,"usage":[],"meta":{"billed_units":4}}`, call.Usage{}, false},
		{"broken JSON", `{"data":[{"b64_json":"x"},`, call.Usage{}, false},
		{"a duration that is none", `{"duration":-1}`, call.Usage{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var u call.Usage
			if found := Measure([]byte(tt.answer), &u); found != tt.found || u != tt.want {
				t.Errorf("got %+v, %v", u, found)
			}
		})
	}
}

func FuzzMeasure(f *testing.F) {
	f.Add([]byte(`{"data":[1],"usage":{"seconds":1},"meta":{"billed_units":{"search_units":3}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var u call.Usage
		if !Measure(raw, &u) && u != (call.Usage{}) {
			t.Fatalf("%+v from what was not measured", u)
		}
		if u.Images < 0 || u.Queries < 0 || !(u.Seconds >= 0) {
			t.Fatalf("%+v", u)
		}
	})
}
