package catalog

import (
	"strings"
	"testing"
)

func TestProvidersOfTheUsersOwn(t *testing.T) {
	list, err := ReadProviders([]byte(`{
		"acme": {"base_url": "https://llm.acme.example/v1/", "api_key_env": "ACME_KEY", "api_base_env": "ACME_BASE", "param_mappings": {"max_completion_tokens": "max_tokens"}, "headers": {"x-acme-key": "{api_key}"}},
		"groq": {"base_url": "http://groq.internal/v1", "base_class": "openai_gpt"}}`))
	if err != nil {
		t.Fatal(err)
	}
	before := len(Providers())
	UseProviders(list)
	defer UseProviders(nil)
	if provider, id, _ := Split("acme/big", Params{}); provider != "acme" || id != "big" {
		t.Errorf("acme/big is %s, %s", provider, id)
	}
	got, ok := Endpoint("acme", Params{}, func(name string) string { return map[string]string{"ACME_KEY": "k"}[name] })
	if !ok || got.Base != "https://llm.acme.example/v1" || got.KeyVar != "ACME_KEY" || !got.Provider.MaxTokens || got.Provider.KeyHeader != "x-acme-key" || !got.Provider.Supported() {
		t.Errorf("%+v", got)
	}
	if got, _ := Endpoint("groq", Params{}, nil); got.Base != "http://groq.internal/v1" || !got.Provider.Keyless {
		t.Errorf("the built-in groq stays: %+v", got)
	}
	if n := len(Providers()); n != before+1 {
		t.Errorf("%d providers, want %d", n, before+1)
	}
	UseProviders(nil)
	if _, ok := LookupProvider("acme"); ok {
		t.Error("acme is still there")
	}
}

func TestAFileOfProvidersHidesNoOption(t *testing.T) {
	for text, want := range map[string]string{
		``:                               "EOF",
		`[]`:                             "cannot unmarshal",
		`{"a": {}}`:                      "base_url",
		`{"a": {"base_url": "ftp://x"}}`: "base_url",
		`{"a": {"base_url": "https://u:p@x/v1"}}`:                                           "without a password",
		`{"A b": {"base_url": "https://x"}}`:                                                "name is made of",
		`{"a": {"base_url": "https://x", "base_ulr": 1}}`:                                   "unknown field",
		`{"a": {"base_url": "https://x", "base_class": "other"}}`:                           "base_class",
		`{"a": {"base_url": "https://x", "param_mappings": {"n": "m"}}}`:                    "param_mappings",
		`{"a": {"base_url": "https://x", "special_handling": {"x": true}}}`:                 "special_handling",
		`{"a": {"base_url": "https://x", "headers": {"x": "fixed"}}}`:                       "headers",
		`{"a": {"base_url": "https://x", "headers": {"x": "{api_key}", "y": "{api_key}"}}}`: "headers",
		`{} {}`: "text after",
	} {
		if _, err := ReadProviders([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzReadProviders(f *testing.F) {
	f.Add([]byte(`{"acme": {"base_url": "https://x/v1", "api_key_env": "K"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := ReadProviders(data)
		if err != nil {
			return
		}
		for _, p := range list {
			if p.Base == "" || !p.Supported() {
				t.Errorf("%q gives %+v", data, p)
			}
		}
	})
}
