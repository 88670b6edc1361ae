package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/finding"
)

// files is a file system for Sources.ReadFile.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	if text, ok := f[filepath.ToSlash(path)]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
}

// environ is a closed environment: NAME=VALUE words.
func environ(words ...string) *Env { return ProcessEnv(words) }

func mustLoad(t testing.TB, s Sources) (*Tree, []finding.Finding) {
	t.Helper()
	tree, findings, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return tree, findings
}

// lines are findings as "position severity message".
func lines(findings []finding.Finding) []string {
	var list []string
	for _, f := range findings {
		list = append(list, f.Pos.String()+" "+f.Severity.String()+" "+f.Message)
	}
	return list
}

// wantLines checks that each wanted line is the beginning of the finding at its
// place, and that there are no others.
func wantLines(t *testing.T, findings []finding.Finding, want ...string) {
	t.Helper()
	got := lines(findings)
	for i := 0; i < max(len(got), len(want)); i++ {
		switch {
		case i >= len(got):
			t.Errorf("missing: %s", want[i])
		case i >= len(want):
			t.Errorf("unexpected: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("got  %s\nwant %s", got[i], want[i])
		}
	}
}

// TestOneConfigForAll pins that CONFIG_FILE_PATH and --config give one merged
// configuration, by the rule of the command, where LiteLLM's launcher and its
// workers see two.
func TestOneConfigForAll(t *testing.T) {
	f := files{
		"flag.yaml":  "general_settings: {database_connection_pool_limit: 1}\n",
		"var.yml":    "general_settings: {database_connection_pool_limit: 2}\n",
		"conf":       "general_settings: {database_connection_pool_limit: 3}\n",
		"VAR.YAML":   "general_settings: {database_connection_pool_limit: 4}\n",
		"empty.yaml": " \n\n", "comments.yaml": "# nothing\n",
	}
	for _, c := range []struct {
		name         string
		path         string
		variable     string
		variableWins bool
		limit        int
		warning, err string
	}{
		{name: "nothing is an empty configuration", limit: 10},
		{name: "the flag alone", path: "flag.yaml", limit: 1},
		{name: "the variable alone", variable: "var.yml", limit: 2},
		{name: "the variable alone on serve", variable: "var.yml", variableWins: true, limit: 2},
		{name: "the flag wins elsewhere", path: "flag.yaml", variable: "var.yml", limit: 1},
		{name: "the variable wins on serve, and says so", path: "flag.yaml", variable: "var.yml", variableWins: true, limit: 2, warning: "CONFIG_FILE_PATH wins"},
		{name: "both the same", path: "./var.yml", variable: "var.yml", variableWins: true, limit: 2},
		{name: "an extension in capitals", variable: "VAR.YAML", variableWins: true, limit: 4},
		{name: "a flag may name any file", path: "conf", variableWins: true, limit: 3},
		{name: "the variable may not", variable: "conf", variableWins: true, err: "not a .yaml or .yml file"},
		{name: "the variable points nowhere", path: "flag.yaml", variable: "gone.yaml", variableWins: true, err: "which does not exist"},
		{name: "an empty variable is none", path: "flag.yaml", variable: " ", variableWins: true, limit: 1, warning: "set but empty"},
		{name: "the flag points nowhere", path: "gone.yaml", err: "Config file not found: gone.yaml"},
		{name: "an empty file", path: "empty.yaml", err: "Config cannot be None or Empty."},
		{name: "a file of comments", path: "comments.yaml", err: "Config cannot be None or Empty."},
	} {
		t.Run(c.name, func(t *testing.T) {
			env := environ()
			if c.variable != "" {
				env = environ("CONFIG_FILE_PATH=" + strings.TrimSpace(c.variable))
			}
			tree, findings, err := Load(Sources{Path: c.path, VariableWins: c.variableWins, Env: env, ReadFile: f.read})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || len(findings) == 0 {
					t.Fatalf("%v, %v", err, findings)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree.General().DatabaseConnectionPoolLimit.V; got != c.limit {
				t.Errorf("pool limit %d, want %d", got, c.limit)
			}
			if warned := len(findings) > 0; warned != (c.warning != "") || warned && !strings.Contains(findings[0].Message, c.warning) {
				t.Errorf("findings %v", lines(findings))
			}
		})
	}
}

func TestFilesThatCannotBeReadAreSaidInOneSentence(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret.yaml"), []byte("a: 1"), 0); err != nil {
		t.Fatal(err)
	}
	cases := []struct{ path, want string }{
		{".", ". is a directory, a file is expected"},
		{"nowhere.yaml", "Config file not found: nowhere.yaml"},
	}
	if os.Geteuid() != 0 {
		cases = append(cases, struct{ path, want string }{"secret.yaml", "secret.yaml cannot be read: permission denied"})
	}
	for _, c := range cases {
		_, findings, err := Load(Sources{Path: c.path, Dir: dir})
		if err == nil || len(findings) != 1 || findings[0].Message != c.want || findings[0].Severity != finding.Error {
			t.Errorf("%s: %v, %v", c.path, err, findings)
		}
	}
	var wrapped *SyntaxError
	if _, _, err := Load(Sources{Path: "nowhere.yaml", Dir: dir}); !errors.As(err, &wrapped) {
		t.Errorf("%T", err)
	}
}

// TestReferences pins the differences from LiteLLM: references in lists are
// resolved, environment_variables come first, null never becomes text.
func TestReferences(t *testing.T) {
	const text = `environment_variables:
  HERE: from the file
  REF: os.environ/SET
  NUMBER: 5
  FLOAT: 1e-06
  YES: true
  "NULL": null
  MISSING: os.environ/NOPE
  PATH: /evil
  MAP: {a: b}
  OVER: new
model_list:
  - model_name: os.environ/SET
    litellm_params:
      model: prefix-os.environ/SET
      api_key: os.environ/EMPTY
      organization: [os.environ/SET, x, [os.environ/HERE]]
      stream: os.environ/TRUE
      n: os.environ/FIVE
      base_url: os.environ/REF
      a: os.environ/NOPE2
      b: os.environ/OVER
      c: os.environ/SECRET_FROM_CLUSTER
`
	env := environ("SET=value", "EMPTY=", "TRUE= True ", "FIVE=5", "OVER=old", "PATH=/bin")
	env.Set(Var{Name: "SECRET_FROM_CLUSTER", Source: "secret"})
	tree, findings := mustLoad(t, Sources{Data: []byte(text), File: "c.yaml", Env: env})
	p := tree.Get("model_list[0].litellm_params")
	for path, want := range map[string]string{
		"model": "prefix-os.environ/SET", "api_key": "", "organization[0]": "value", "organization[2][0]": "from the file",
		"n": "5", "base_url": "value", "b": "new", "c": "",
	} {
		if got, ok := p.Lookup(path).Str(); !ok || got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if v, ok := p.Get("stream").Bool(); !ok || !v || p.Get("stream").Kind != Bool {
		t.Error("the word True did not become a boolean")
	}
	if n := p.Get("a"); n.Kind != Null || !n.RefMissing || n.Ref != "NOPE2" {
		t.Errorf("%+v", n)
	}
	if n := p.Get("c"); !n.Unknown || n.RefMissing {
		t.Error("a variable of unknown value is not missing")
	}
	if o := p.Get("b").Origin; o.Kind != FromReference || o.Name != "OVER" || o.Via != "environment_variables" {
		t.Errorf("origin %+v", o)
	}
	for name, want := range map[string]string{"HERE": "from the file", "REF": "value", "NUMBER": "5", "FLOAT": "1e-06", "YES": "True", "PATH": "/bin", "OVER": "new"} {
		if got := tree.Env().Get(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"NULL", "MISSING", "MAP"} {
		if tree.Env().Has(name) {
			t.Errorf("%s is set", name)
		}
	}
	if env.Has("HERE") {
		t.Error("the caller's environment was changed")
	}
	wantLines(t, findings,
		`c.yaml:7:3 warning environment_variables.NULL is null and is not set (LiteLLM would store the text "None")`,
		`c.yaml:8:12 warning environment_variables.MISSING: NOPE is not set (LiteLLM would store the text "None")`,
		"c.yaml:9:3 warning Skipping blocked environment variable key: PATH",
		"c.yaml:10:3 warning environment_variables.MAP is a mapping, text is expected; it is not set",
		"c.yaml:15:14 warning model_list[0].litellm_params.model: os.environ/ behind other text is not expanded",
		"c.yaml:17:42 warning model_list[0].litellm_params.organization[2][0]: HERE is set only under environment_variables",
		"c.yaml:20:17 warning model_list[0].litellm_params.base_url: REF is set only under environment_variables",
		"c.yaml:21:10 warning model_list[0].litellm_params.a: environment variable NOPE2 is not set",
	)
	for _, f := range findings {
		for _, secret := range []string{"value", "from the file", "old"} {
			if strings.Contains(f.Message+f.Fix, "\""+secret) || strings.Contains(f.Message, "="+secret) {
				t.Errorf("a value is shown: %s", f.Message)
			}
		}
	}
}

func TestAnOpenEnvironmentProvesNoAbsence(t *testing.T) {
	tree, findings := mustLoad(t, Sources{Data: []byte("model_list: [{model_name: a, litellm_params: {model: m, api_key: os.environ/X}}]\n"), File: "c"})
	n := tree.Get("model_list[0].litellm_params.api_key")
	if !n.Unknown || n.RefMissing || len(findings) != 0 {
		t.Errorf("%+v %v", n, findings)
	}
	tree, _ = mustLoad(t, Sources{Data: []byte("a: os.environ/X\n"), File: "c", KeepReferences: true})
	if text, _ := tree.Get("a").Str(); text != "os.environ/X" || tree.Get("a").Ref != "X" {
		t.Error("the reference was not kept")
	}
}

func TestSpellingsThatNothingExpandsAreNamed(t *testing.T) {
	for _, c := range []struct{ text, fix string }{
		{"${KEY}", "write os.environ/KEY"}, {"$KEY", "write os.environ/KEY"}, {"${KEY:-x}", "write os.environ/KEY"},
		{"os.environ.KEY", "write os.environ/KEY"}, {`os.environ["KEY"]`, "write os.environ/KEY"}, {`os.getenv("KEY")`, "write os.environ/KEY"},
		{"env.KEY", "write os.environ/KEY"}, {"Bearer os.environ/KEY", "write os.environ/KEY"}, {"https://${HOST}/v1", "write os.environ/HOST"},
		{"cost is $5", ""}, {"$1", ""}, {"environment", ""}, {"my.env.file", ""}, {"a[b]", ""}, {"price(usd)", ""},
	} {
		_, findings := mustLoad(t, Sources{Data: []byte("x-own: {a: " + Quote(c.text) + "}\n"), File: "c"})
		switch {
		case c.fix == "" && len(findings) > 0:
			t.Errorf("%q: %v", c.text, lines(findings))
		case c.fix != "" && (len(findings) != 1 || findings[0].Fix != c.fix || findings[0].ID != "CFG008"):
			t.Errorf("%q: %+v", c.text, findings)
		}
	}
}

// TestInclude pins that one text is accepted, that lists are joined and
// everything else replaced, and that circles are named.
func TestInclude(t *testing.T) {
	load := func(f files) (*Tree, []finding.Finding, error) {
		return Load(Sources{Path: "conf/main.yaml", Env: environ(), ReadFile: f.read})
	}
	names := func(tree *Tree) string {
		var list []string
		for _, m := range tree.Models() {
			list = append(list, m.Name.V)
		}
		return strings.Join(list, " ")
	}
	entry := func(name string) string {
		return "model_list: [{model_name: " + name + ", litellm_params: {model: openai/x}}]\n"
	}
	t.Run("lists are joined in the order of the entries, nested ones last", func(t *testing.T) {
		tree, findings, err := load(files{
			"conf/main.yaml": "include: [a.yaml, sub/b.yaml]\n" + entry("main"),
			"conf/a.yaml":    "include: [c.yaml]\n" + entry("a"), "conf/sub/b.yaml": entry("b"), "conf/c.yaml": entry("c"),
		})
		if err != nil || len(findings) != 0 || names(tree) != "main a b c" {
			t.Errorf("%v %v %s", err, lines(findings), names(tree))
		}
		if n := tree.Get("model_list[3].model_name"); n.Pos.File != "conf/c.yaml" || n.Path() != "model_list[3].model_name" || n.Origin.Kind != FromInclude {
			t.Errorf("%+v", n)
		}
		if tree.Root().Has("include") || len(tree.Files()) != 4 {
			t.Error("include is still there, or files are missing")
		}
	})
	t.Run("one text is taken for a list of one", func(t *testing.T) {
		tree, findings, err := load(files{"conf/main.yaml": "include: a.yaml\n", "conf/a.yaml": entry("a")})
		if err != nil || names(tree) != "a" || len(findings) != 1 || findings[0].Severity != finding.Warning {
			t.Errorf("%v %v", err, lines(findings))
		}
	})
	t.Run("a null list takes the included one", func(t *testing.T) {
		tree, findings, err := load(files{"conf/main.yaml": "include: [a.yaml]\nmodel_list:\n", "conf/a.yaml": entry("a")})
		if err != nil || names(tree) != "a" || len(findings) != 0 {
			t.Errorf("%v %v", err, lines(findings))
		}
	})
	t.Run("a mapping is replaced as a whole, and the lost keys are named", func(t *testing.T) {
		tree, findings, err := load(files{
			"conf/main.yaml": "include: [a.yaml]\ngeneral_settings: {master_key: x, store_model_in_db: false}\n",
			"conf/a.yaml":    "general_settings: {disable_spend_logs: true}\n",
		})
		if err != nil || tree.Get("general_settings.master_key") != nil || !tree.General().DisableSpendLogs.V {
			t.Errorf("%v", err)
		}
		wantLines(t, findings, "conf/a.yaml:1:1 warning conf/a.yaml:1 replaces general_settings from conf/main.yaml:2"+
			" (include does not merge mappings); lost keys: master_key, store_model_in_db")
	})
	t.Run("an absolute path is used as it is", func(t *testing.T) {
		tree, _, err := load(files{"conf/main.yaml": "include: [/etc/a.yaml]\n", "/etc/a.yaml": entry("a")})
		if err != nil || names(tree) != "a" {
			t.Errorf("%v", err)
		}
	})
	t.Run("an empty included file adds nothing", func(t *testing.T) {
		if tree, _, err := load(files{"conf/main.yaml": "include: [a.yaml]\n" + entry("m"), "conf/a.yaml": "# nothing\n"}); err != nil || names(tree) != "m" {
			t.Errorf("%v", err)
		}
	})
	for _, c := range []struct {
		name, want string
		files      files
	}{
		{"a circle", "conf/b.yaml:1:11: include goes in a circle: conf/main.yaml -> conf/a.yaml -> conf/b.yaml -> conf/a.yaml",
			files{"conf/main.yaml": "include: [a.yaml]\n", "conf/a.yaml": "include: [b.yaml]\n", "conf/b.yaml": "include: [a.yaml]\n"}},
		{"itself", "conf/main.yaml:1:11: include goes in a circle: conf/main.yaml -> conf/main.yaml", files{"conf/main.yaml": "include: [main.yaml]\n"}},
		{"a missing file", "conf/main.yaml:1:11: Included file not found: conf/a.yaml", files{"conf/main.yaml": "include: [a.yaml]\n"}},
		{"a number", "conf/main.yaml:1:11: 'include' must be a list of file paths, and this is an integer", files{"conf/main.yaml": "include: [1]\n"}},
		{"a mapping", "conf/main.yaml:1:10: 'include' must be a list of file paths, and this is a mapping", files{"conf/main.yaml": "include: {a: b}\n"}},
		{"broken YAML", "conf/a.yaml:1:4: ", files{"conf/main.yaml": "include: [a.yaml]\n", "conf/a.yaml": "a: [b\n"}},
		{"a list as the file", "conf/a.yaml:1:1: Included config file is not a YAML mapping: conf/a.yaml", files{"conf/main.yaml": "include: [a.yaml]\n", "conf/a.yaml": "- b\n"}},
	} {
		t.Run("refused: "+c.name, func(t *testing.T) {
			_, findings, err := load(c.files)
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(findings) == 0 {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestTooManyIncludesAreRefused(t *testing.T) {
	f := files{"main.yaml": "include: [f0.yaml]\n"}
	for i := range 300 {
		f[fmt.Sprintf("f%d.yaml", i)] = fmt.Sprintf("include: [f%d.yaml]\n", i+1)
	}
	if _, _, err := Load(Sources{Path: "main.yaml", ReadFile: f.read}); err == nil || !strings.Contains(err.Error(), "more than 200 files") {
		t.Error(err)
	}
}

func TestDotEnvIsReadInDevelopmentOnly(t *testing.T) {
	f := files{".env": "A=file\nB=file\n", "x.env": "C=given\nA=given\n", "c.yaml": "x-own: {a: os.environ/A, b: os.environ/B, c: os.environ/C}\n"}
	for _, c := range []struct {
		name    string
		env     []string
		dotEnv  bool
		envFile string
		a, b, c string
	}{
		{"unset means DEV", []string{"A=process"}, true, "", "process", "file", ""},
		{"DEV", []string{"LITELLM_MODE=DEV", "A=process"}, true, "", "process", "file", ""},
		{"PRODUCTION", []string{"LITELLM_MODE=PRODUCTION", "A=process"}, true, "", "process", "", ""},
		{"any other word disables it", []string{"LITELLM_MODE=dev", "A=process"}, true, "", "process", "", ""},
		{"a command that never reads it", []string{"A=process"}, false, "", "process", "", ""},
		{"--env-file does not depend on the mode and comes first", []string{"LITELLM_MODE=PRODUCTION"}, true, "x.env", "given", "", "given"},
		{"--env-file wins over .env", nil, true, "x.env", "given", "file", "given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree, _ := mustLoad(t, Sources{Path: "c.yaml", Env: environ(c.env...), DotEnv: c.dotEnv, EnvFile: c.envFile, ReadFile: f.read})
			for key, want := range map[string]string{"a": c.a, "b": c.b, "c": c.c} {
				if got, _ := tree.Get("x-own." + key).Str(); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
		})
	}
	if _, _, err := Load(Sources{EnvFile: "gone.env", ReadFile: f.read}); err == nil {
		t.Error("a missing --env-file was accepted")
	}
}

// TestServiceLinkPort pins that an address which Kubernetes puts into NAME_PORT
// is not taken for a port number, and that the variables of other services are
// left alone.
func TestServiceLinkPort(t *testing.T) {
	const link = "=tcp://10.96.0.1:6379"
	for _, c := range []struct {
		name, yaml string
		env        []string
		want       []string
	}{
		{"by reference", "router_settings: {redis_host: h, redis_port: os.environ/REDIS_PORT}\n", []string{"REDIS_PORT" + link},
			[]string{"c:1:46 error router_settings.redis_port: REDIS_PORT holds an address that Kubernetes put there"}},
		{"any name that is referred to", "x-own: {a: os.environ/CACHE_PORT}\n", []string{"CACHE_PORT" + link},
			[]string{"c:1:12 error x-own.a: CACHE_PORT holds an address"}},
		{"unseen, with Redis in use", "router_settings: {redis_host: h}\n", []string{"REDIS_PORT" + link}, []string{"<env> error REDIS_PORT holds an address"}},
		{"unseen, without Redis", "{}\n", []string{"REDIS_PORT" + link}, nil},
		{"every pod's own", "{}\n", []string{"KUBERNETES_PORT" + link, "LLMGW_PORT" + link, "LITELLM_PORT" + link}, nil},
		{"the listener's", "{}\n", []string{"PORT" + link}, []string{"<env> error PORT holds an address"}},
		{"a number", "router_settings: {redis_host: h, redis_port: os.environ/REDIS_PORT}\n", []string{"REDIS_PORT=6379"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, findings := mustLoad(t, Sources{Data: []byte(c.yaml), File: "c", Env: environ(c.env...)})
			wantLines(t, findings, c.want...)
			for _, f := range findings {
				if strings.Contains(f.Message+f.Fix, "10.96") {
					t.Error("the value is shown")
				}
			}
		})
	}
}

func TestKeysInTheWrongPlaceAreNamedWithTheRightOne(t *testing.T) {
	for _, c := range []struct{ yaml, want, fix string }{
		{"litellm_settings: {master_key: x}", "litellm_settings.master_key has no effect; move it to general_settings.master_key. As written, requests need no key", "move it to general_settings.master_key"},
		{"litellm_settings: {database_url: x}", "litellm_settings.database_url has no effect; move it to general_settings.database_url. As written, there is no database", ""},
		{"enable_jwt_auth: true", "enable_jwt_auth has no effect; move it to general_settings.enable_jwt_auth", ""},
		{"litellm_settings: {cooldown_time: 1}", "litellm_settings.cooldown_time has no effect; move it to router_settings.cooldown_time", ""},
		{"router_settings: {cache_params: {type: redis}}", "router_settings.cache_params has no effect; move it to litellm_settings.cache_params", ""},
		{"general_settings: {request_timeout: 6}", "general_settings.request_timeout has no effect; move it to litellm_settings.request_timeout", ""},
		{"litellm_settings: {routing_strategy: x}", "litellm_settings.routing_strategy has no effect; move it to router_settings.routing_strategy", ""},
		{"litellm_settings: {alerting: [slack]}", "litellm_settings.alerting has no effect; move it to general_settings.alerting", ""},
		{"general_settings: {UI_USERNAME: x}", "general_settings.UI_USERNAME has no effect; UI_USERNAME is an environment variable", ""},
		{"general_settings: {alerts: [slack]}", "general_settings.alerts has no effect; move it to general_settings.alerting", ""},
		{"callbacks: [x]", "callbacks has no effect; move it to litellm_settings.callbacks", ""},
		{"litellm_settings: {default_vertex_config: {}}", "litellm_settings.default_vertex_config has no effect; move it to the top level of the file", ""},
		{"general_settings: {router_settings: {}}", "general_settings.router_settings has no effect; move it to the top level of the file", ""},
		{"model_list: [{model_name: a, rpm: 1, litellm_params: {model: m}}]", "model_list[0].rpm belongs under litellm_params", ""},
		{"model_list: [{model_name: a, mode: chat, litellm_params: {model: m}}]", "model_list[0].mode belongs under model_info", ""},
		{"model_list: [{model_name: a, litellm_params: {model: m, model_info: {}}}]", "model_list[0].litellm_params.model_info is read as a parameter", ""},
		{"model_list: [{model_name: a, litellm_params: {model: m, access_groups: []}}]", "model_list[0].litellm_params.access_groups is sent to the provider", ""},
		{"model_list: [{model_name: a, litellm_params: {model: m, api_kye: x}}]", "model_list[0].litellm_params.api_kye is not known", "did you mean api_key?"},
		{"model_list: [{modle_name: a, model_name: b, litellm_params: {model: m}}]", "model_list[0].modle_name is not a key of a model entry", "did you mean model_name?"},
		{"router_setting: {}", "router_setting is not a section that is read", "did you mean router_settings?"},
		{"litellm_settings: {request_timout: 6}", "litellm_settings.request_timout is not known", "did you mean request_timeout?"},
		{"router_settings: {bogus: 6}", "Key 'bogus' is not a valid argument for Router.__init__(). Ignoring this key.", ""},
		{"router_settings: {retry_policy: {TimeoutErrorRetrys: 1}}", "router_settings.retry_policy.TimeoutErrorRetrys is not known", "did you mean TimeoutErrorRetries?"},
		{"general_settings: [a]", "general_settings is a list, a mapping is expected", ""},
		{"model_list: [{model_name: a, litellm_params: {model: m, vendor_option: 1}}]", "", ""},
		{"x-anchors: {a: b}", "", ""},
		{"router_settings: {num_retries: 1}\nlitellm_settings: {num_retries: 1}", "", ""},
		{"llmgw: {version_headers: false}", "", ""},
		{"llmgw: {version_header: false}", "llmgw.version_header is not known", "did you mean version_headers?"},
		{"llmgw: {master_key: x}", "llmgw.master_key has no effect; move it to general_settings.master_key", ""},
		{"llmgw: {log_sink: {to: stdout, batchsize: 3}}", "llmgw.log_sink.batchsize is not known", "did you mean batch_size?"},
		{"llmgw: {log_sink: stdout}", "", ""},
		{"llmgw: [a]", "llmgw is a list, a mapping is expected", ""},
	} {
		_, findings := mustLoad(t, Sources{Data: []byte(c.yaml + "\n"), File: "c", Env: environ()})
		switch {
		case c.want == "" && len(findings) > 0:
			t.Errorf("%s: %v", c.yaml, lines(findings))
		case c.want == "":
		case len(findings) != 1 || !strings.HasPrefix(findings[0].Message, c.want) || findings[0].Severity != finding.Warning:
			t.Errorf("%s:\n got %v\nwant %s", c.yaml, lines(findings), c.want)
		case c.fix != "" && findings[0].Fix != c.fix:
			t.Errorf("%s: fix %q", c.yaml, findings[0].Fix)
		}
	}
}

func TestABucketIsRefusedOnServeOnly(t *testing.T) {
	env := environ("LITELLM_CONFIG_BUCKET_NAME=b")
	if _, _, err := Load(Sources{VariableWins: true, Env: env}); err == nil {
		t.Error("accepted")
	}
	if _, _, err := Load(Sources{Env: env}); err != nil {
		t.Error(err)
	}
}

func FuzzLoad(f *testing.F) {
	_, documents := readVectors(f)
	for _, v := range documents {
		f.Add(v.YAML, "A=b\n")
	}
	for _, name := range []string{"small", "medium", "large"} {
		data, err := os.ReadFile("testdata/examples/" + name + ".yaml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data), "REDIS_PORT=tcp://1\n")
	}
	f.Add("environment_variables: {A: os.environ/A, B: [1], C: 1.5, D: ~}\nmodel_list: [os.environ/A, {model_name: os.environ/B, litellm_params: [x]}]\n", "")
	f.Add("include: [c.yaml, d.yaml]\nrouter_settings: {fallbacks: [{a: b}, c, {d: [{model: e}]}], model_group_alias: {a: {model: b}}}\n", "A='x")
	f.Fuzz(func(t *testing.T, text, dotEnv string) {
		read := files{"c.yaml": text, ".env": dotEnv, "d.yaml": "model_list: []\n"}.read
		tree, findings, err := Load(Sources{Path: "c.yaml", Env: environ("PLANTED=planted-secret"), DotEnv: true, ReadFile: read})
		for _, f := range findings {
			if f.Message == "" || strings.Contains(f.Message+f.Fix+f.Why, "planted-secret") {
				t.Fatalf("%+v", f)
			}
		}
		if err != nil {
			if len(findings) == 0 {
				t.Fatal("an error without a finding")
			}
			return
		}
		tree.General()
		tree.LiteLLM()
		tree.Router()
		tree.Models()
		for n := range tree.Effective().Walk() {
			n.Display()
			if n.Parent() != nil && n.Parent().At(n.Index()) != n {
				t.Fatalf("%s has lost its place", n.Path())
			}
		}
		for n := range tree.Root().Walk() {
			if len(n.Path()) < 10_000 && tree.Get(n.Path()) != n && n.KeyKind == String {
				t.Fatalf("%s does not lead to itself", n.Path())
			}
		}
	})
}

// bigConfig has n models, the size of a large installation.
func bigConfig(n int) []byte {
	var b strings.Builder
	b.WriteString("model_list:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - model_name: group-%d\n    litellm_params:\n      model: azure/deployment-%d\n      api_base: https://r%d.openai.azure.com\n"+
			"      api_key: os.environ/AZURE_KEY\n      api_version: \"2024-10-21\"\n      rpm: 600\n      timeout: 120\n    model_info:\n      id: d-%d\n      mode: chat\n", i/3, i, i%50, i)
	}
	b.WriteString("general_settings:\n  master_key: os.environ/LITELLM_MASTER_KEY\n")
	return []byte(b.String())
}

func BenchmarkLoad5000Models(b *testing.B) {
	data := bigConfig(5000)
	env := environ("AZURE_KEY=k", "LITELLM_MASTER_KEY=sk-x")
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		tree, findings, err := Load(Sources{Data: data, File: "c.yaml", Env: env})
		if err != nil || len(findings) != 0 || len(tree.Models()) != 5000 {
			b.Fatal(err, findings)
		}
	}
}

func BenchmarkParseYAML10000Lines(b *testing.B) {
	data := bigConfig(910)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ParseYAML("c.yaml", data); err != nil {
			b.Fatal(err)
		}
	}
}
