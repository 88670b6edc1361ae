package litellm

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write docs/config.md and docs/config.schema.json")

func TestGeneratedPagesAreCurrent(t *testing.T) {
	for name, want := range map[string][]byte{"config.md": configPage(), "config.schema.json": Schema()} {
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), want) {
			t.Errorf("docs/%s is not what the tables say; run: go test ./internal/litellm -run Generated -update", name)
		}
	}
}

var titles = []struct{ section, title, intro string }{
	{SectionTop, "Top level", ""},
	{SectionModelEntry, "model_list", "Each entry is one deployment. Entries with the same `model_name` form a model group."},
	{SectionLiteLLMParams, "litellm_params", "Inside an entry of `model_list`. Names that are not listed are sent upstream with every request."},
	{SectionModelInfo, "model_info", "Inside an entry of `model_list`. Names that are not listed are kept and shown by `/model/info`."},
	{SectionGeneral, "general_settings", ""},
	{SectionAlertingArgs, "alerting_args", "Inside `general_settings`."},
	{SectionCoordinationRedis, "coordination_redis", "Inside `general_settings`."},
	{SectionKeyManagement, "key_management_settings", "Inside `general_settings`."},
	{SectionJobStagger, "scheduled_job_stagger", "Inside `general_settings`."},
	{SectionPassThrough, "pass_through_endpoints", "Entries of a list inside `general_settings`."},
	{SectionLiteLLM, "litellm_settings", ""},
	{SectionCacheParams, "cache_params", "Inside `litellm_settings`. Further names are passed to the Redis client."},
	{SectionRouter, "router_settings", ""},
	{SectionRetryPolicy, "retry_policy", "Inside `router_settings`, and by model group inside `model_group_retry_policy`."},
	{SectionAllowedFailsPolicy, "allowed_fails_policy", "Inside `router_settings`."},
	{SectionCredential, "credential_list", "Entries of a list."},
	{SectionGuardrail, "guardrails", "Entries of a list."},
	{SectionGuardrailParams, "guardrails: litellm_params", "Inside an entry of `guardrails`. Each kind of guardrail has further names."},
	{SectionMCPServer, "mcp_servers", "Values of a mapping."},
	{SectionLLMGW, "llmgw", "Settings of llmgw that LiteLLM does not have, and ignores."},
	{SectionLogSink, "log_sink", "Inside `llmgw`: every finished call as JSON. See [telemetry.md](telemetry.md)."},
}

func cell(s string) string {
	if s == "" {
		return ""
	}
	return strings.ReplaceAll(s, "|", "\\|")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", "\\|") + "`"
}

// configPage writes docs/config.md.
func configPage() []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Configuration reference")
	p("")
	p("This page is generated from `internal/litellm/data`; `go test ./internal/litellm -run Generated -update` writes it anew. It covers the names of LiteLLM %s. A check mark in the column *llmgw* means that this build acts on the name; an empty cell, that it does not yet.", Compat)
	p("")
	p("Types: `sec` is a number of seconds, `dur` a text such as `30s`, `7d` or `1mo`, `cron` a crontab line. Any value may be a reference: `os.environ/NAME`.")
	p("")
	for _, s := range titles {
		p("## %s", s.title)
		p("")
		if s.intro != "" {
			p("%s", s.intro)
			p("")
		}
		p("| Key | Type | Default | llmgw | Meaning |")
		p("|---|---|---|---|---|")
		var acting, bare []string
		for _, k := range SectionKeys(s.section) {
			switch {
			case k.Listed:
			case k.Implemented:
				acting = append(acting, code(k.Name))
				continue
			default:
				bare = append(bare, code(k.Name))
				continue
			}
			mark, doc := "", k.Doc
			if k.Implemented {
				mark = "✓"
			}
			switch {
			case k.Status == Dead || k.Needless != "":
				mark = "no effect"
			case k.Status == Internal:
				mark = "not for the file"
			}
			if k.Instead != "" {
				doc += " Use " + code(k.Instead) + "."
			}
			if len(k.Values) > 0 {
				doc += " Words: " + code(strings.Join(k.Values, " ")) + "."
			}
			p("| %s | %s | %s | %s | %s |", code(k.Name), code(string(k.Type)), code(k.Default), mark, cell(doc))
		}
		if len(acting) > 0 {
			slices.Sort(acting)
			p("")
			p("These act as in LiteLLM: %s.", strings.Join(acting, ", "))
		}
		if len(bare) > 0 {
			slices.Sort(bare)
			p("")
			p("LiteLLM also accepts: %s.", strings.Join(bare, ", "))
		}
		p("")
	}
	p("## Command line")
	p("")
	p("Flags of the `litellm` command, as `llmgw serve` takes them. They may be written with `-` or `_`.")
	p("")
	p("| Flag | Value | Variable | Default | llmgw | Meaning |")
	p("|---|---|---|---|---|---|")
	effects := map[Effect]string{SameEffect: "✓", OtherEffect: "✓, differs", NoEffect: "no effect", RefusedEffect: "refused"}
	effect := func(e Effect, implemented bool) string {
		if !implemented {
			return ""
		}
		return effects[e]
	}
	for _, f := range Flags() {
		name, value := "--"+f.Name, string(f.Type)
		if f.Short != "" {
			name += ", -" + f.Short
		}
		if f.Switch {
			value = ""
		}
		p("| %s | %s | %s | %s | %s | %s |", code(name), value, code(strings.Join(f.Env, " ")), code(f.Default), effect(f.Effect, f.Implemented), cell(f.Doc))
	}
	p("")
	p("## Environment variables")
	p("")
	p("Booleans are true for `1 true t yes y on` and false for `0 false f no n off`, in any case. The column *LiteLLM* says where it reads words otherwise: *strict* knows `true` and `false` only, *any text* takes every text as true, *only 1* nothing but `1`, *loose* every word as true that is not one of the false ones.")
	p("")
	words := map[Words]string{WordsStrict: "strict", WordsNonEmpty: "any text", WordsOne: "only 1", WordsLoose: "loose"}
	var acting, bare []string
	for _, g := range []struct{ group, title string }{
		{"core", "Server"}, {"database", "Database"}, {"redis", "Redis"}, {"network", "Network"}, {"behaviour", "Behaviour"},
		{"llmgw", "llmgw's own"}, {"provider", "Providers"},
	} {
		p("### %s", g.title)
		p("")
		p("| Variable | Type | Default | LiteLLM | llmgw | Meaning |")
		p("|---|---|---|---|---|---|")
		for _, v := range Env() {
			if v.Group != g.group {
				continue
			}
			doc := v.Doc
			if v.Key != "" {
				doc += " Key: " + code(v.Key) + "."
			}
			p("| %s | %s | %s | %s | %s | %s |", code(v.Name), code(string(v.Type)), code(v.Default), words[v.Theirs], effect(v.Effect, v.Implemented), cell(doc))
		}
		p("")
	}
	for _, v := range Env() {
		switch {
		case v.Group != "package":
		case v.Implemented:
			acting = append(acting, code(v.Name))
		default:
			bare = append(bare, code(v.Name))
		}
	}
	slices.Sort(acting)
	slices.Sort(bare)
	if len(acting) > 0 {
		p("These act as in LiteLLM: %s.", strings.Join(acting, ", "))
		p("")
	}
	p("LiteLLM also reads: %s.", strings.Join(bare, ", "))
	p("")
	p("## Names in the wrong place")
	p("")
	p("LiteLLM accepts these without a word, and nothing happens. `llmgw doctor` finds them.")
	p("")
	p("| Written | Effect | Right place |")
	p("|---|---|---|")
	for _, m := range Misplacements() {
		written := m.Name
		if m.Section != SectionTop {
			written = m.Section + "." + m.Name
		}
		p("| %s | %s | %s |", code(written), cell(m.Effect), cell(m.Right))
	}
	p("")
	p("## Old names")
	p("")
	p("| Old | Now |")
	p("|---|---|")
	for _, k := range Keys() {
		if k.Instead != "" {
			p("| %s | %s |", code(k.Path()), code(k.Instead))
		}
	}
	return b.Bytes()
}

func TestThePageShowsEverySection(t *testing.T) {
	shown := map[string]bool{}
	for _, s := range titles {
		shown[s.section] = true
	}
	for _, s := range sections() {
		if !shown[s] {
			t.Errorf("docs/config.md leaves out section %q", s)
		}
	}
	page := string(configPage())
	for _, k := range Keys() {
		if !strings.Contains(page, "`"+k.Name+"`") {
			t.Errorf("docs/config.md leaves out %s", k.Path())
		}
	}
	if !strings.Contains(page, Compat) || !strings.Contains(string(Schema()), Compat) {
		t.Error("page and schema do not name the emulated release")
	}
}

func validator(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("https://github.com/llmgw/llmgw/docs/config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("https://github.com/llmgw/llmgw/docs/config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheSchemaAcceptsWhatLiteLLMAccepts(t *testing.T) {
	s := validator(t)
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"an empty section": {"model_list:\ngeneral_settings:\nlitellm_settings:\n", true},
		"the usual": {`
model_list:
  - model_name: gpt
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, rpm: 10, timeout: "30", weird_vendor_option: [1]}
    model_info: {id: 3, mode: chat, input_cost_per_token: "3e-7", anything: {}}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  alerting: slack
  database_connection_pool_limit: os.environ/POOL
  proxy_batch_write_at: 60
  disable_spend_logs: "True"
  maximum_spend_logs_retention_period: 30d
litellm_settings: {request_timeout: 600, callbacks: [prometheus], cache: true, cache_params: {type: redis, host: h, port: "6379", some_redis_arg: 1}}
router_settings:
  routing_strategy: simple-shuffle
  fallbacks: [{gpt: [other]}]
  retry_policy: {TimeoutErrorRetries: 3}
  model_group_retry_policy: {gpt: {DefaultRetries: 1}}
environment_variables: {A: b}
llmgw: {compat: latest}
`, true},
		"a key that is misspelt":          {"router_setting: {}\n", false},
		"a setting that is misspelt":      {"litellm_settings: {request_timout: 3}\n", false},
		"a setting in the wrong section":  {"litellm_settings: {master_key: x}\n", false},
		"a word where a number should be": {"general_settings: {database_connection_pool_limit: ten}\n", false},
		"a strategy nobody knows":         {"router_settings: {routing_strategy: fastest}\n", false},
		"a deployment without a model":    {"model_list: [{model_name: a, litellm_params: {api_key: k}}]\n", false},
		"a policy nobody knows":           {"router_settings: {retry_policy: {Timeouts: 3}}\n", false},
		"a list that is a mapping":        {"model_list: {a: b}\n", false},
		"not a mapping":                   {"- a\n", false},
	} {
		var v any
		if err := yaml.Unmarshal([]byte(c.text), &v); err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
