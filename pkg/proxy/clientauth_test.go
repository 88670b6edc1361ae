package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// keyed notes whose key and headers it was asked with.
func keyed(t *testing.T) (base string, last func() http.Header, asked *atomic.Int64) {
	var seen atomic.Pointer[http.Header]
	seen.Store(&http.Header{})
	asked = new(atomic.Int64)
	base = upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		h := r.Header.Clone()
		body, _ := io.ReadAll(r.Body)
		h.Set("Body", string(body))
		seen.Store(&h)
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") == "Bearer sk-wrong-key" {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":{"message":"no such key: sk-wrong-key"}}`)
			return
		}
		io.WriteString(w, okAnswer)
	})
	return base, func() http.Header { return *seen.Swap(&http.Header{}) }, asked
}

func clientAuthGateway(t *testing.T, own, settings, params string) string {
	c, findings := load(t, fmt.Sprintf(`
model_list:
- {model_name: m, litellm_params: {model: openai/gpt, api_base: '%s', api_key: sk-operator, organization: org-operator, extra_headers: {x-secret: abc}, top_k: 7%s}}
- {model_name: plain, litellm_params: {model: openai/gpt, api_base: '%[1]s', api_key: sk-operator}}
general_settings: {master_key: %[4]s%[3]s}
router_settings: {num_retries: 0, fallbacks: [{m: [plain]}]}
litellm_settings: {cache: true, cache_params: {type: local}}
`, own, params, settings, testKey))
	for _, f := range findings {
		t.Log(f)
	}
	_, url := gateway(t, c)
	return url + "/v1/chat/completions"
}

func TestAClientBringsItsKeyWhereThatIsAllowed(t *testing.T) {
	own, ownLast, _ := keyed(t)
	other, otherLast, _ := keyed(t)
	host := strings.TrimSuffix(strings.TrimPrefix(other, "http://"), "/v1")
	body := func(members string) string { return `{"model":"m","messages":[],` + members + `}` }
	key, base := `"api_key":"sk-client"`, fmt.Sprintf(`"api_base":"%s"`, other)
	baseURL := fmt.Sprintf(`"base_url":"%s"`, other)
	for _, tt := range []struct {
		name, settings, params, members string
		status                          int
		says                            string
		elsewhere                       bool
	}{
		{"nothing is allowed", "", "", key, 401, "Rejected Request: api_key is not allowed in request body", false},
		{"a key where keys are listed", "", ", configurable_clientside_auth_params: [api_key]", key, 200, "", false},
		{"an address where keys are listed", "", ", configurable_clientside_auth_params: [api_key]", key + "," + base, 401, "api_base is not allowed", false},
		{"everything by the general setting", ", allow_client_side_credentials: true, user_url_validation: false", "", key + "," + base, 200, "", true},
		{"base_url is the same", ", allow_client_side_credentials: true, user_url_validation: false", "", key + "," + baseURL, 200, "", true},
		{"a user's own configuration never", ", allow_client_side_credentials: true", "", `"user_config":{}`, 401, "user_config is not allowed", false},
		{"an address that the operator has written down", "", ", configurable_clientside_auth_params: [api_key, {api_base: '" + other + "'}]", key + "," + base, 200, "", true},
		{"a pattern", "", ", configurable_clientside_auth_params: [api_key, {api_base: 'http://127\\.0\\.0\\.1:[0-9]+/v1'}]", key + "," + base, 200, "", true},
		{"a pattern matches whole addresses", "", ", configurable_clientside_auth_params: [api_key, {api_base: 'http://127'}]", key + "," + base, 401, "api_base is not allowed", false},
		{"an address without a key", ", allow_client_side_credentials: true, user_url_validation: false", "", base, 401, "api_base needs an api_key beside it", false},
		{"an address inside the network", ", allow_client_side_credentials: true", "", key + "," + base, 500, "The upstream could not be reached", false},
		{"a host that may", ", allow_client_side_credentials: true, user_url_allowed_hosts: ['" + host + "']", "", key + "," + base, 200, "", true},
		{"an address that is none", ", allow_client_side_credentials: true", "", key + `,"api_base":"file:///etc/passwd"`, 400, "must be a URL", false},
		{"a user name in it", ", allow_client_side_credentials: true", "", key + `,"api_base":"http://a:b@127.0.0.1/"`, 400, "must be a URL", false},
		{"a number", ", allow_client_side_credentials: true", "", `"api_key":7`, 400, "must be a text", false},
		{"null", ", allow_client_side_credentials: true", "", key + `,"api_base":null`, 400, "must be a text", false},
		{"two addresses", ", allow_client_side_credentials: true", "", key + `,"api_base":"http://a/v1","base_url":"http://b/v1"`, 400, "differ", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := clientAuthGateway(t, own, tt.settings, tt.params)
			ownLast()
			otherLast()
			resp, answer := post(t, url, body(tt.members))
			if resp.StatusCode != tt.status || !strings.Contains(answer, tt.says) {
				t.Fatalf("%d %s", resp.StatusCode, answer)
			}
			mine, theirs := ownLast(), otherLast()
			switch {
			case tt.status != 200:
				if len(mine) > 0 || len(theirs) > 0 {
					t.Errorf("an upstream was asked: %v %v", mine, theirs)
				}
			case tt.elsewhere:
				if len(mine) > 0 || theirs.Get("Authorization") != "Bearer sk-client" || theirs.Get("Openai-Organization") != "" ||
					theirs.Get("X-Secret") != "" || strings.Contains(theirs.Get("Body"), "top_k") || strings.Contains(fmt.Sprint(theirs), "operator") {
					t.Errorf("the client's address was asked with %v", theirs)
				}
			default:
				if len(theirs) > 0 || mine.Get("Authorization") != "Bearer sk-client" || mine.Get("X-Secret") != "abc" || strings.Contains(fmt.Sprint(mine), "sk-operator") {
					t.Errorf("the deployment was asked with %v", mine)
				}
			}
			if strings.Contains(mine.Get("Body")+theirs.Get("Body"), "api_") || strings.Contains(mine.Get("Body")+theirs.Get("Body"), "base_url") {
				t.Errorf("the members went on: %s%s", mine.Get("Body"), theirs.Get("Body"))
			}
		})
	}
}

// TestAClientsKeyIsItsOwnAffair: its failures cool nobody down, are not paid for
// by others, its answers are not given to others, and it is not repeated.
func TestAClientsKeyIsItsOwnAffair(t *testing.T) {
	own, _, asked := keyed(t)
	url := clientAuthGateway(t, own, ", allow_client_side_credentials: true", "")
	for range 12 {
		resp, body := post(t, url, `{"model":"m","messages":[],"api_key":"sk-wrong-key"}`)
		if resp.StatusCode != 401 || strings.Contains(body, "sk-wrong-key") {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if resp, body := post(t, url, `{"model":"m","messages":[]}`); resp.StatusCode != 200 || resp.Header.Get("X-Litellm-Attempted-Fallbacks") != "0" {
		t.Errorf("afterwards %d %s", resp.StatusCode, body)
	}
	before := asked.Load()
	for range 3 {
		post(t, url, `{"model":"m","messages":[{"role":"user","content":"new"}],"api_key":"sk-client"}`)
	}
	if n := asked.Load() - before; n != 3 {
		t.Errorf("%d of 3 calls reached the upstream, the cache gave the rest", n)
	}
}

func TestWhatIsPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false,
		"169.254.169.254": false, "0.0.0.0": false, "100.64.1.1": false, "::1": false, "::": false, "fe80::1": false, "fd00::1": false,
		"::ffff:127.0.0.1": false, "::ffff:8.8.8.8": true, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "::7f00:1": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %v", address, got)
		}
	}
}
