package splice

import "testing"

// What the upstream calls the model is told beside the name that clients see, also
// where the first event has none.
func TestStreamsTellWhatTheUpstreamCallsTheModel(t *testing.T) {
	var tap Tap
	for range 2 { // the second has no memory of the first
		tap.Reset(TapOptions{Model: "fast"})
		for _, event := range []string{
			`data: {"id":"c","model":"","choices":[]}`, `data: {"id":"c","model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"x"}}]}`,
			`data: {"id":"c","model":"another","choices":[{"index":0,"delta":{"content":"y"}}]}`,
		} {
			if _, err := tap.Feed([]byte(event + "\n\n")); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(tap.NamedModel()); got != "gpt-4o-2024-08-06" {
			t.Errorf("chat: %q", got)
		}
	}
	tap.Reset(TapOptions{})
	if got := tap.NamedModel(); len(got) != 0 {
		t.Errorf("a new stream begins with %q", got)
	}
	var events ResponseEvents
	events.Reset("fast")
	text := "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"gpt-4o-2024-08-06\"}}\n\n"
	if _, err := events.Advance(copy(events.Space(), text)); err != nil || string(events.NamedModel()) != "gpt-4o-2024-08-06" {
		t.Errorf("responses: %q, %v", events.NamedModel(), err)
	}
}
