package proxy

import (
	"net/http"
	"testing"
)

func TestOutboundProxy(t *testing.T) {
	for name, c := range map[string]struct {
		env  map[string]string
		url  string
		want string
	}{
		"none is set":                 {map[string]string{}, "http://up.example/v1", ""},
		"plain upstreams":             {map[string]string{"HTTP_PROXY": "http://proxy:1"}, "http://up.example/v1", "http://proxy:1"},
		"TLS upstreams":               {map[string]string{"HTTPS_PROXY": "http://proxy:2"}, "https://up.example/v1", "http://proxy:2"},
		"not the other scheme":        {map[string]string{"HTTP_PROXY": "http://proxy:1"}, "https://up.example/v1", ""},
		"small letters":               {map[string]string{"https_proxy": "http://proxy:3"}, "https://up.example/v1", "http://proxy:3"},
		"a host that is left out":     {map[string]string{"HTTPS_PROXY": "http://proxy:2", "NO_PROXY": "up.example"}, "https://up.example/v1", ""},
		"left out in small letters":   {map[string]string{"HTTPS_PROXY": "http://proxy:2", "no_proxy": ".example"}, "https://up.example/v1", ""},
		"a host that is not left out": {map[string]string{"HTTPS_PROXY": "http://proxy:2", "NO_PROXY": "down.example"}, "https://up.example/v1", "http://proxy:2"},
	} {
		t.Run(name, func(t *testing.T) {
			choose := outboundProxy(func(n string) string { return c.env[n] })
			if choose == nil {
				if c.want != "" {
					t.Fatalf("no proxy at all, want %s", c.want)
				}
				return
			}
			r, err := http.NewRequest(http.MethodPost, c.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if u, err := choose(r); err != nil {
				t.Fatal(err)
			} else if u != nil {
				got = u.String()
			}
			if got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
