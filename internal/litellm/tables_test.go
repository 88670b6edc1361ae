package litellm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var types = []Type{Bool, Int, Float, Str, Sec, Dur, Cron, Enum, List, Map, Any}

func validType(t Type) bool {
	for part := range strings.SplitSeq(string(t), "|") {
		if !slices.Contains(types, Type(part)) {
			return false
		}
	}
	return true
}

func TestTheKeyTableHoldsTogether(t *testing.T) {
	count := map[string]int{}
	for _, k := range Keys() {
		count[k.Section]++
		if !validType(k.Type) {
			t.Errorf("%s: type %q", k.Path(), k.Type)
		}
		if k.Priority < 1 || k.Priority > 3 {
			t.Errorf("%s: priority %d", k.Path(), k.Priority)
		}
		if !slices.Contains([]Status{Live, Deprecated, Dead, Internal}, k.Status) {
			t.Errorf("%s: status %q", k.Path(), k.Status)
		}
		if k.Status == Deprecated && k.Instead == "" {
			t.Errorf("%s is deprecated, but nothing says what to write", k.Path())
		}
		if k.Type == Enum && k.Listed && len(k.Values) == 0 {
			t.Errorf("%s is one of no words", k.Path())
		}
		if k.Priority < 3 && !k.Listed {
			t.Errorf("%s matters, but nothing says what it means", k.Path())
		}
		if k.Listed && !strings.HasSuffix(k.Doc, ".") && !strings.HasSuffix(k.Doc, "}") {
			t.Errorf("%s: its text is no sentence: %s", k.Path(), k.Doc)
		}
		got, ok := LookupKey(k.Section, k.Name)
		if !ok || got.Path() != k.Path() {
			t.Errorf("%s is not found", k.Path())
		}
	}
	for section, least := range map[string]int{
		SectionTop: 24, SectionModelEntry: 3, SectionLiteLLMParams: 200, SectionModelInfo: 50, SectionGeneral: 180,
		SectionLiteLLM: 200, SectionCacheParams: 60, SectionRouter: 55, SectionRetryPolicy: 9, SectionAllowedFailsPolicy: 9,
		SectionCredential: 3, SectionGuardrail: 3, SectionGuardrailParams: 100, SectionMCPServer: 25, SectionAlertingArgs: 9,
		SectionCoordinationRedis: 10, SectionKeyManagement: 5, SectionJobStagger: 4, SectionPassThrough: 5, SectionLLMGW: 4, SectionLogSink: 10,
	} {
		if count[section] < least {
			t.Errorf("section %q has %d keys, want %d or more", section, count[section], least)
		}
		delete(count, section)
	}
	for section := range count {
		t.Errorf("section %q has no constant", section)
	}
}

// The keys that configurations in the wild use most must be listed under
// general_settings, litellm_settings and router_settings with a meaning.
func TestKeysOfTheProductionPageAreKnown(t *testing.T) {
	for _, path := range strings.Fields(`
		general_settings.master_key general_settings.alerting general_settings.proxy_batch_write_at general_settings.database_connection_pool_limit
		general_settings.database_url general_settings.disable_error_logs general_settings.allow_requests_on_db_unavailable general_settings.use_redis_transaction_buffer
		general_settings.background_health_checks general_settings.health_check_interval general_settings.maximum_spend_logs_retention_period general_settings.disable_spend_logs
		litellm_settings.request_timeout litellm_settings.set_verbose litellm_settings.json_logs litellm_settings.cache litellm_settings.cache_params
		router_settings.routing_strategy router_settings.redis_host router_settings.redis_port router_settings.redis_password router_settings.num_retries
		cache_params.type cache_params.host litellm_params.model litellm_params.api_key litellm_params.rpm model_info.base_model`) {
		section, name, _ := strings.Cut(path, ".")
		k, ok := LookupKey(section, name)
		if !ok || !k.Listed || k.Priority > 2 {
			t.Errorf("%s: known %t, %+v", path, ok, k)
		}
	}
}

func TestTheFlagTableHoldsTogether(t *testing.T) {
	for _, f := range Flags() {
		if f.Switch != (f.Type == Bool && f.Name != "telemetry") {
			t.Errorf("--%s: switch %t, type %s", f.Name, f.Switch, f.Type)
		}
		if f.Doc == "" || !slices.Contains([]Effect{SameEffect, OtherEffect, NoEffect, RefusedEffect}, f.Effect) {
			t.Errorf("--%s: effect %q, text %q", f.Name, f.Effect, f.Doc)
		}
		for _, name := range f.Env {
			v, ok := LookupEnv(name)
			if !ok || v.Flag != f.Name && name != "CONFIG_FILE_PATH" {
				t.Errorf("--%s: variable %s is known %t and stands for %q", f.Name, name, ok, v.Flag)
			}
		}
	}
	for _, c := range []struct{ written, name string }{
		{"--num-workers", "num_workers"}, {"num_workers", "num_workers"}, {"-c", "config"}, {"-v", "version"}, {"--max_requests_before_restart", "max_requests_before_restart"},
	} {
		if f, ok := LookupFlag(c.written); !ok || f.Name != c.name {
			t.Errorf("%s is %q, %t", c.written, f.Name, ok)
		}
	}
}

func TestTheEnvironmentTableHoldsTogether(t *testing.T) {
	for _, v := range Env() {
		if !validType(v.Type) || v.Priority < 1 || v.Priority > 3 {
			t.Errorf("%s: type %q, priority %d", v.Name, v.Type, v.Priority)
		}
		if !slices.Contains([]Words{WordsNone, WordsStrict, WordsClick, WordsLoose, WordsNonEmpty, WordsOne}, v.Theirs) || v.Theirs != WordsNone && v.Type != Bool {
			t.Errorf("%s: words %q of a %s", v.Name, v.Theirs, v.Type)
		}
		if v.Flag != "" {
			if _, ok := LookupFlag(v.Flag); !ok {
				t.Errorf("%s: there is no flag %s", v.Name, v.Flag)
			}
		}
		if section, name, _ := strings.Cut(v.Key, "."); v.Key != "" {
			if _, ok := LookupKey(section, name); !ok {
				t.Errorf("%s: there is no key %s", v.Name, v.Key)
			}
		}
		if v.Group != "package" && v.Doc == "" {
			t.Errorf("%s: nothing says what it means", v.Name)
		}
	}
	for _, name := range []string{"LITELLM_MASTER_KEY", "LITELLM_SALT_KEY", "DATABASE_URL", "REDIS_PASSWORD", "OPENAI_API_KEY", "GROQ_API_KEY"} {
		if v, ok := LookupEnv(name); !ok || !v.Secret {
			t.Errorf("%s is not held to be a secret (known: %t)", name, ok)
		}
	}
}

func TestEnvWords(t *testing.T) {
	for _, c := range []struct {
		name, text string
		value, ok  bool
		warning    string // a part of it
	}{
		{"DISABLE_SCHEMA_UPDATE", "true", true, true, ""},
		{"DISABLE_SCHEMA_UPDATE", "False", false, true, ""},
		{"DISABLE_SCHEMA_UPDATE", "1", true, true, "means true here but false to LiteLLM; write true"},
		{"DISABLE_SCHEMA_UPDATE", "yes", true, true, "false to LiteLLM"},
		{"DISABLE_SCHEMA_UPDATE", "T", true, true, "false to LiteLLM"},
		{"DISABLE_SCHEMA_UPDATE", "maybe", false, false, "neither true nor false and is ignored"},
		{"DISABLE_SCHEMA_UPDATE", "", false, false, ""},
		{"LITELLM_DROP_PARAMS", "False", false, true, ""},
		{"LITELLM_DROP_PARAMS", "1", true, true, ""},
		{"LITELLM_DROP_PARAMS", "sure", true, true, "it counts as true"},
		{"LITELLM_MODIFY_PARAMS", "False", false, true, "means false here but true to LiteLLM; write nothing (unset it)"},
		{"LITELLM_MODIFY_PARAMS", "true", true, true, ""},
		{"JSON_LOGS", "false", false, true, ""},
		{"JSON_LOGS", "1", true, true, "false to LiteLLM"},
		{"JSON_LOGS", "json", true, true, "it counts as true"},
		{"DEBUG", "*", false, false, "neither true nor false and is ignored"},
		{"DEBUG", "on", true, true, ""},
		{"SEPARATE_HEALTH_APP", "1", true, true, ""},
		{"SEPARATE_HEALTH_APP", "true", true, true, "write 1"},
		{"SEPARATE_HEALTH_APP", "0", false, true, ""},
		{"NOT_OURS", "yes", true, true, ""},
	} {
		value, warning, ok := ParseEnvBool(c.name, c.text)
		if value != c.value || ok != c.ok || (warning == "") != (c.warning == "") || !strings.Contains(warning, c.warning) {
			t.Errorf("%s=%q: %t, %q, %t; want %t, %q, %t", c.name, c.text, value, warning, ok, c.value, c.warning, c.ok)
		}
	}
}

func TestMisplacedNamesAreSentHome(t *testing.T) {
	for _, c := range []struct{ section, name, owner, severity string }{
		{SectionLiteLLM, "master_key", SectionGeneral, "error"},
		{SectionLiteLLM, "cooldown_time", SectionRouter, "warning"},
		{SectionTop, "litellm_jwtauth", SectionGeneral, "error"},
		{SectionRouter, "cache_params", SectionLiteLLM, "warning"},
		{SectionRouter, "health_check_interval", SectionGeneral, "error"},
		{SectionGeneral, "request_timeout", SectionLiteLLM, "warning"},
		{SectionGeneral, "routing_strategy", SectionRouter, "warning"},
		{SectionRouter, "master_key", SectionGeneral, "error"},
		{SectionTop, "master_key", SectionGeneral, "error"},
		{SectionGeneral, "router_settings", SectionTop, "error"},
		{SectionModelEntry, "rpm", SectionLiteLLMParams, "error"},
		{SectionLiteLLMParams, "mode", SectionModelInfo, "warning"},
		{SectionGeneral, "UI_PASSWORD", "environment", "error"},
	} {
		m, ok := Misplaced(c.section, c.name)
		if !ok || m.Owner != c.owner || m.Severity != c.severity || m.Right == "" || m.Effect == "" {
			t.Errorf("%s.%s: %+v, %t", c.section, c.name, m, ok)
		}
	}
	for _, c := range [][2]string{
		{SectionGeneral, "master_key"}, {SectionLiteLLM, "num_retries"}, {SectionRouter, "num_retries"}, {SectionLiteLLM, "fallbacks"},
		{SectionRouter, "set_verbose"}, {SectionGeneral, "kitchen_sink"}, {SectionLiteLLMParams, "master_key"}, {SectionRouter, "enable_health_check_routing"},
	} {
		if m, ok := Misplaced(c[0], c[1]); ok {
			t.Errorf("%s.%s is said to be misplaced: %+v", c[0], c[1], m)
		}
	}
	for _, m := range Misplacements() {
		if m.Owner == "environment" {
			continue
		}
		if m.Section != m.Owner { // M13 and M19 stay in their section
			if k, ok := LookupKey(m.Section, m.Name); ok && k.Status != Internal && m.ID != "M16" {
				t.Errorf("%s: %s.%s is at home there too", m.ID, m.Section, m.Name)
			}
		}
		if m.ID != "M13" && m.ID != "M14" && m.ID != "M19" {
			if _, ok := LookupKey(m.Owner, m.Name); !ok {
				t.Errorf("%s: %s does not know %s", m.ID, m.Owner, m.Name)
			}
		}
	}
}

func TestKeysEverybodyKnowsAndPlaceholders(t *testing.T) {
	for _, s := range []string{"sk-1234", "SK-1234", " sk-litellm ", "changeme", "sk-changeme", "my-fake-key", "<your key>", "your-key", "sk-your-key", "sk-...", "https://exampleopenaiendpoint-production.up.railway.app/", "eXaMpLeOnLy", "NoTaGrEaTpAsSwOrD", "change-me-please"} {
		if !WellKnownKey(s) {
			t.Errorf("%q is not seen through", s)
		}
	}
	for _, s := range []string{"", "sk-12345678901234567890", "sk-8f3a9c21d4e7", "prod", "<", "<>", "yours", "sk-testing-2fA9", "master"} {
		if WellKnownKey(s) {
			t.Errorf("%q is taken for a key that everybody knows", s)
		}
	}
}

func TestAdvisoriesGoByRelease(t *testing.T) {
	for _, c := range []struct {
		version string
		want    []string
	}{
		{"1.82.8", []string{"CVE-2026-35029", "CVE-2026-35030", "GHSA-69x8-hrgq-fjj8", "CVE-2026-42208", "CVE-2026-30623", "compromised-1.82.7"}},
		{"v1.83.6-stable", []string{"CVE-2026-42208", "CVE-2026-30623"}},
		{"1.83.7", nil},
		{"1.81.15", []string{"CVE-2026-35029", "CVE-2026-35030", "GHSA-69x8-hrgq-fjj8", "CVE-2026-30623"}},
		{"1.98.2", []string{"sse-ping-1.97"}},
		{Compat, nil},
		{"latest", nil},
		{"", nil},
	} {
		var ids []string
		for _, a := range Advisories(c.version) {
			ids = append(ids, a.ID)
			if a.Summary == "" || a.Fix == "" {
				t.Errorf("%s says nothing", a.ID)
			}
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: %v, want %v", c.version, ids, c.want)
		}
	}
	if _, ok := ParseVersion(Compat); !ok {
		t.Errorf("Compat %q is no version", Compat)
	}
}

func FuzzNamesNeverPanic(f *testing.F) {
	f.Add("router_settings", "routing_stratgy")
	f.Add("", "")
	f.Add("général", "ключ")
	f.Fuzz(func(t *testing.T, section, name string) {
		if near, ok := Nearest(section, name); ok {
			if _, known := LookupKey(section, near); !known {
				t.Errorf("Nearest(%q, %q) is the unknown %q", section, name, near)
			}
		}
		Misplaced(section, name)
		ParseEnvBool(section, name)
		WellKnownKey(name)
		LookupFlag(name)
		if v, ok := ParseVersion(name); ok && v.Compare(v) != 0 {
			t.Errorf("version %q differs from itself", name)
		}
	})
}

// data/checked.txt is written by tools/vocab/check.py when the tables and the
// installed package agree.
func TestTheTablesWereCheckedAgainstTheEmulatedRelease(t *testing.T) {
	checked, err := os.ReadFile("data/checked.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range Keys() {
		section := k.Section
		if section == SectionTop {
			section = "-"
		}
		names = append(names, section+"."+k.Name)
	}
	for _, f := range Flags() {
		names = append(names, "--"+f.Name)
	}
	for _, v := range Env() {
		names = append(names, "$"+v.Name)
	}
	providers, err := os.ReadFile("../catalog/data/providers.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(providers)) {
		if name, _, ok := strings.Cut(line, "\t"); ok && line[0] != '#' && name != "name" {
			names = append(names, name+"/")
		}
	}
	slices.Sort(names)
	want := fmt.Sprintf("%s %d %x\n", Compat, len(names), sha256.Sum256([]byte(strings.Join(names, "\n"))))
	if string(checked) != want {
		t.Errorf("release or names changed since the last check: run python3 tools/vocab/check.py\nchecked %snow     %s", checked, want)
	}
}

func TestTheMigrationManifestHoldsTogether(t *testing.T) {
	if !strings.Contains(migrationsTSV, "LiteLLM "+Compat+" ") {
		t.Errorf("data/migrations.tsv is not of release %s: run tools/vocab/migrations.py", Compat)
	}
	list := Migrations()
	if len(list) < 200 || list[len(list)-1].Name != MigrationHead() {
		t.Errorf("%d migrations, head %s", len(list), MigrationHead())
	}
	for i, m := range list {
		if i > 0 && m.Name <= list[i-1].Name {
			t.Errorf("%s is out of order", m.Name)
		}
		if len(m.SHA256) != 64 || strings.Trim(m.SHA256, "0123456789abcdef") != "" {
			t.Errorf("%s: checksum %q", m.Name, m.SHA256)
		}
		if got, ok := LookupMigration(m.Name); !ok || got.SHA256 != m.SHA256 {
			t.Errorf("%s is not found", m.Name)
		}
	}
	if _, ok := LookupMigration("20250101000000_nothing"); ok {
		t.Error("a migration that does not exist is found")
	}
}
