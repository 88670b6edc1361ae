package live

import (
	"encoding/json"
	"strings"
	"testing"
)

// A recorded observation may come back in any shape: it is judged or refused.
func FuzzObservation(f *testing.F) {
	data, err := json.Marshal(Observation{Schema: Schema, Postgres: &Postgres{Address: "x", Partitioned: true, Partitions: []string{"FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')"}}, Redis: &Redis{}, Proxies: []Proxy{{Address: "http://x"}}, Cluster: &Cluster{Pods: []Pod{{Containers: []ContainerState{{}}}}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"schema":"llmgw.doctor.live/1","postgres":{"settings":null,"tables":[{}],"blocked":[{"seconds":99}]},"redis":{"info":{"maxmemory":"0"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		seen, err := ParseObservation(data)
		if err != nil {
			return
		}
		seen.Ceiling()
		for _, h := range Judge(seen, nil) {
			if h.ID == "" || h.Message == "" {
				t.Fatalf("a finding without id or message: %+v", h)
			}
		}
	})
}

// Logs are text of any kind.
func FuzzLog(f *testing.F) {
	f.Add("10:02:11 - LiteLLM:DEBUG: utils.py:340 - x\nPermission denied\n")
	f.Add(strings.Repeat("x", maxLine+10) + "\nP2024")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ReadLog("x", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		for id, n := range l.First {
			if n < 1 || n > l.Lines || l.Count[id] < 1 {
				t.Fatalf("%s first at line %d of %d, %d times", id, n, l.Lines, l.Count[id])
			}
		}
	})
}
