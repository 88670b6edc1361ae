package proxy

import (
	"strings"
	"testing"
)

func TestCredentialsAreTakenFromTheList(t *testing.T) {
	c, findings := load(t, `
credential_list:
- credential_name: eu
  credential_values: {api_key: os.environ/EU_KEY, api_base: "https://eu.example/v1", organization: org-eu}
  credential_info: {}
model_list:
- model_name: named
  litellm_params: {model: openai/gpt-4o, litellm_credential_name: eu}
- model_name: own
  litellm_params: {model: openai/gpt-4o, litellm_credential_name: eu, api_key: mine, api_base: null}
- model_name: absent
  litellm_params: {model: openai/gpt-4o, litellm_credential_name: us}
`, "EU_KEY=planted-eu", "OPENAI_API_KEY=planted-env")
	if len(c.Deployments) != 3 {
		t.Fatalf("%d deployments: %+v", len(c.Deployments), findings)
	}
	for i, want := range [][3]string{
		{"planted-eu", "https://eu.example/v1", "org-eu"},
		{"mine", "https://eu.example/v1", "org-eu"},
		{"planted-env", "https://api.openai.com/v1", ""},
	} {
		d := c.Deployments[i]
		if got := [3]string{d.APIKey.Reveal(), d.APIBase, d.Organization}; got != want {
			t.Errorf("%s: %v, want %v", d.Group, got, want)
		}
		if strings.Contains(string(d.Params), "planted") {
			t.Errorf("%s shows a key: %s", d.Group, d.Params)
		}
	}
	said := ""
	for _, f := range findings {
		said += f.Path + " " + f.Message + "\n"
	}
	if !strings.Contains(said, `model_list[2].litellm_params.litellm_credential_name: credential_list has no "us"`) || strings.Contains(said, "planted") || strings.Contains(said, "not served") {
		t.Error(said)
	}
}
