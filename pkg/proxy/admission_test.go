package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestWhoMayAskForWhat(t *testing.T) {
	const (
		key     = "sk-admission-7c1f3b"
		address = "Access forbidden: IP address "
	)
	for _, tt := range []struct {
		name, settings string
		method, path   string
		forwarded      []string
		noKey          bool
		status         int
		body           string
	}{
		{name: "everybody by default", status: 200},
		{name: "the address is listed", settings: "allowed_ips: [127.0.0.1]", status: 200},
		{name: "the address is in a range", settings: "allowed_ips: [127.0.0.0/8]", status: 200},
		{name: "another address is listed", settings: "allowed_ips: [10.1.2.3]", status: 403, body: address + "127.0.0.1 not allowed."},
		{name: "nobody is listed", settings: "allowed_ips: []", status: 403, body: address},
		{name: "a slip matches nobody", settings: "allowed_ips: [127.0.0.1/99]", status: 403, body: address},
		{name: "the address counts before the key", settings: "allowed_ips: [10.1.2.3]", noKey: true, status: 403, body: address},
		{name: "probes are for all", settings: "allowed_ips: [10.1.2.3]", path: "/health/liveliness", noKey: true, status: 200},
		{name: "calls of models, too", settings: "allowed_ips: [10.1.2.3]", method: "POST", path: "/v1/chat/completions", status: 403, body: address},
		{name: "a header counts for nothing by default", settings: "allowed_ips: [10.1.2.3]", forwarded: []string{"10.1.2.3"}, status: 403, body: address},
		{name: "the balancer's header", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true", forwarded: []string{"10.1.2.3"}, status: 200},
		{name: "what the client itself wrote counts for nothing", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true", forwarded: []string{"10.1.2.3, 66.6.6.6"}, status: 403, body: address + "66.6.6.6"},
		{name: "nor in a line of its own", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true", forwarded: []string{"10.1.2.3", "66.6.6.6"}, status: 403, body: address + "66.6.6.6"},
		{name: "no header: the connection", settings: "allowed_ips: [127.0.0.1], use_x_forwarded_for: true", status: 200},
		{name: "a port behind the address", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true", forwarded: []string{"10.1.2.3:4711"}, status: 200},
		{name: "the next version of addresses", settings: "allowed_ips: ['2001:db8::/32'], use_x_forwarded_for: true", forwarded: []string{"[2001:db8::7]:443"}, status: 200},
		{name: "a chain of known proxies", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true, trusted_proxy_ranges: [127.0.0.0/8, 192.168.0.0/16]", forwarded: []string{"10.1.2.3, 192.168.4.4"}, status: 200},
		{name: "a proxy that is not known", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true, trusted_proxy_ranges: [192.168.0.0/16]", forwarded: []string{"10.1.2.3"}, status: 403, body: address + "127.0.0.1"},
		{name: "proxies that cannot be read are not trusted", settings: "allowed_ips: [10.1.2.3], use_x_forwarded_for: true, trusted_proxy_ranges: [nonsense]", forwarded: []string{"10.1.2.3"}, status: 403, body: address + "127.0.0.1"},
		{name: "a route that is listed", settings: "allowed_routes: [/v1/models]", status: 200},
		{name: "a route that is not", settings: "allowed_routes: [/v1/models]", path: "/models", status: 403, body: "Access forbidden: Route /models not allowed"},
		{name: "routes by their beginning", settings: "allowed_routes: ['/v1/*']", status: 200},
		{name: "a public route", settings: "public_routes: [/v1/models]", noKey: true, status: 200},
		{name: "another route needs the key", settings: "public_routes: [/v1/models]", path: "/models", noKey: true, status: 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := load(t, "general_settings: {master_key: "+key+", "+tt.settings+"}\nmodel_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: k, mock_response: hi}}\n")
			_, url := gateway(t, c)
			if tt.path == "" {
				tt.path = "/v1/models"
			}
			var body io.Reader
			if tt.method == "POST" {
				body = strings.NewReader(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)
			}
			req, err := http.NewRequest(tt.method, url+tt.path, body)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.noKey {
				req.Header.Set("Authorization", "Bearer "+key)
			}
			req.Header.Set("Content-Type", "application/json")
			for _, v := range tt.forwarded {
				req.Header.Add("X-Forwarded-For", v)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.status || !strings.Contains(string(text), tt.body) {
				t.Errorf("%d %s, want %d with %q", resp.StatusCode, text, tt.status, tt.body)
			}
		})
	}
}

func TestSlipsInAddressesAndRoutesAreNamed(t *testing.T) {
	_, found := load(t, "general_settings: {allowed_ips: [office.example], trusted_proxy_ranges: 10.0.0.0/40, public_routes: [v1/models]}\n")
	var all []string
	for _, f := range found {
		all = append(all, f.Message)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"general_settings.allowed_ips[0] is neither an address nor a range such as 10.0.0.0/8, and matches nobody",
		"general_settings.trusted_proxy_ranges is neither",
		"general_settings.public_routes[0] is no path such as /v1/models, and matches nothing",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
}

func TestHeadersThatRepeatTheProvidersKeyStayHere(t *testing.T) {
	const provider = "sk-provider-echoed-5521"
	for _, status := range []int{200, 400} {
		for _, stream := range []bool{false, true} {
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Echo", r.Header.Get("Authorization"))
				w.Header().Set("X-Other", "kept")
				if stream && status == 200 {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\ndata: [DONE]\n\n")
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, `{"id":"1","object":"chat.completion","choices":[]}`)
			}))
			t.Cleanup(upstream.Close)
			c, _ := load(t, "model_list:\n- {model_name: m, litellm_params: {model: openai/m, api_key: "+provider+", api_base: '"+upstream.URL+"/v1'}}\n")
			_, url := gateway(t, c)
			req, err := http.NewRequest("POST", url+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(`{"model":"m","stream":%t,"messages":[{"role":"user","content":"hi"}]}`, stream)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+testKey)
			req.Header.Set("Content-Type", "application/json")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode != status || resp.Header.Get("llm_provider-X-Other") != "kept" {
				t.Errorf("%d %v", resp.StatusCode, resp.Header)
			}
			if strings.Contains(fmt.Sprint(resp.Header), provider) {
				t.Errorf("stream %t: %d: the key is in %v", stream, status, resp.Header)
			}
		}
	}
}
