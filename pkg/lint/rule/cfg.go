package rule

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/startcheck"
)

func init() {
	register(
		&Rule{
			ID: "CFG001", Name: "yaml-syntax", Severity: "error", Priority: 1, Fix: Manual, Engine: true,
			Title:  "the file is not well-formed YAML",
			When:   "an input ending in .yaml or .yml, or a config inside a ConfigMap, cannot be read. The other files are still checked.",
			Why:    "the proxy dies when it starts, and every other rule would talk nonsense about this file.",
			Remedy: "correct the place the message points at; YAML indents with spaces only.",
			Source: []string{"YAML 1.1 as LiteLLM's reader takes it"},
			Bad:    Example{Config: "model_list:\n\t- model_name: chat\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n"},
		},
		&Rule{
			ID: "CFG002", Name: "duplicate-key", Severity: "error", Priority: 1, Fix: Manual, Engine: true,
			Title:  "a key is written twice in one mapping",
			When:   "the same key appears twice in one mapping of any YAML input. The earlier one is judged by no other rule.",
			Why:    "the reader keeps the last one without a word, so a whole block of settings can vanish.",
			Remedy: "merge the two.",
			Source: []string{"LiteLLM's YAML reader", "litellm-docs PR 231, where a published example lost its callbacks this way"},
			Bad:    Example{Config: "general_settings: {disable_error_logs: true}\ngeneral_settings: {alerting: [slack]}\n"},
			Good:   Example{Config: "general_settings: {alerting: [slack], disable_error_logs: true}\n"},
		},
		&Rule{
			ID: "CFG003", Name: "unknown-top-level-key", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "a top-level key that nothing reads",
			When:   "a top-level key is none that LiteLLM or llmgw knows.",
			Why:    "an unknown block is never read, so everything in it has no effect.",
			Remedy: "rename it, or delete it.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: "router_setting:\n  routing_strategy: simple-shuffle\nmodel_list: []\n"},
			Good:   Example{Config: "router_settings:\n  routing_strategy: simple-shuffle\nmodel_list: []\n"},
			Engine: true,
		},
		&Rule{
			ID: "CFG004", Name: "unknown-key", Severity: "warning/info", Priority: 1, Fix: Unsafe,
			Title:  "a setting that nothing reads",
			When:   "a key of general_settings, litellm_settings or router_settings is known in none of them. warning when a known key is near, info otherwise.",
			Why:    "the router drops what it does not know, and the other sections keep it as an attribute nobody reads.",
			Remedy: "rename it to the key that was meant, or delete it.",
			Source: []string{"LiteLLM configuration reference", "the router's constructor"},
			Bad:    Example{Config: "litellm_settings:\n  request_timout: 600\n"},
			Good:   Example{Config: "litellm_settings:\n  request_timeout: 600\n"},
			Also:   []string{"TMO001"},
			Engine: true,
		},
		&Rule{
			ID: "CFG005", Name: "misplaced-key", Severity: "error/warning", Priority: 1, Fix: Unsafe,
			Title:  "a setting in a section that does not read it",
			When:   "a key is known, but in another section. error when its owner is general_settings, where authentication and the database live, warning otherwise.",
			Why:    "the setting has no effect where it is. A master_key under litellm_settings leaves the proxy open to everybody.",
			Remedy: "move it to the section that owns it.",
			Source: []string{"litellm-docs PR 1184", "LiteLLM issue 35177"},
			Bad:    Example{Config: oneModel + "litellm_settings:\n  store_model_in_db: true\n"},
			Good:   Example{Config: oneModel + "general_settings:\n  store_model_in_db: true\n"},
			Engine: true,
		},
		&Rule{
			ID: "CFG006", Name: "wrong-type", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "a value of the wrong type",
			When:   "a number, boolean or list setting holds something that cannot be read as one. References to variables are not judged.",
			Why:    "the value is ignored, or brings a worker down later.",
			Remedy: "write a value of the type that the message names.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: "litellm_settings:\n  request_timeout: 10m\n"},
			Good:   Example{Config: "litellm_settings:\n  request_timeout: 600\n"},
			Check:  wrongType,
		},
		&Rule{
			ID: "CFG007", Name: "env-ref-missing", Severity: "error", Priority: 1, Fix: Manual, Closed: true,
			Title:  "a reference to a variable that is not set",
			When:   "a value is os.environ/NAME and NAME is in none of the environment sources, all of which could be read.",
			Why:    "the value becomes null: no master key means no authentication, no provider key means 401 on the first call.",
			Remedy: "set the variable, or correct the name.",
			Source: []string{"LiteLLM issue 1851"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_KEY}\n", Env: "OPENAI_API_KEY=sk-real-0123\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n", Env: "OPENAI_API_KEY=sk-real-0123\n"},
			Check:  envRefMissing,
		},
		&Rule{
			ID: "CFG008", Name: "env-ref-malformed", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "a variable reference in a form that LiteLLM does not expand",
			When:   "a text is ${X}, $X, os.environ.X, os.environ[\"X\"], os.getenv(...), env.X, or os.environ/ without a name.",
			Why:    "the text itself is sent to the provider as the key.",
			Remedy: "write os.environ/NAME.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: \"${OPENAI_API_KEY}\"}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"},
			Check:  envRefMalformed,
		},
		&Rule{
			ID: "CFG009", Name: "no-models", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "there is no model to serve",
			When:   "model_list is absent or empty, nothing is included, and store_model_in_db is not true.",
			Why:    "every request is answered with an error.",
			Remedy: "add a model, or set general_settings.store_model_in_db: true.",
			Source: []string{"LiteLLM Helm chart, values"},
			Bad:    Example{Config: "model_list: []\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"},
			Check: func(u *Unit) []Hit {
				if u.Config == nil || u.Section("model_list").Len() > 0 || u.Config.Root.Has("include") || u.EnvOn("STORE_MODEL_IN_DB") {
					return nil
				}
				if v := u.Setting("general_settings.store_model_in_db"); v.State == Unknown || u.On("general_settings.store_model_in_db") {
					return nil
				}
				return hit(u.At("model_list"), "model_list", sevError, "there is no model to serve: model_list is empty and models are not kept in the database")
			},
		},
		&Rule{
			ID: "CFG010", Name: "model-entry-incomplete", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "a model_list entry without model_name or litellm_params.model",
			When:   "an item of model_list lacks model_name or litellm_params.model.",
			Why:    "the proxy skips an invalid deployment in silence, so the model is just not there.",
			Remedy: "add the missing key.",
			Source: []string{"LiteLLM configuration reference, ignore_invalid_deployments"},
			Bad:    Example{Config: "model_list:\n  - litellm_params: {model: gemini/gemini-2.5-flash}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: flash\n    litellm_params: {model: gemini/gemini-2.5-flash}\n"},
			Check:  incompleteEntry,
		},
		&Rule{
			ID: "CFG011", Name: "placeholder-value", Severity: "error", Priority: 1, Fix: Manual, Soft: []Profile{Dev},
			Title:  "a placeholder of the documentation is still there",
			When:   "a text of the config, an environment file or the container's environment is one of the example values of LiteLLM's documentation and charts.",
			Why:    "examples get copied into production, where the value works for nobody or for everybody.",
			Remedy: "put your own value here, as a reference to a variable if it is a secret.",
			Source: []string{"LiteLLM production guide, section 1", "LiteLLM Helm chart, values"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/fake, api_key: fake-key}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"},
			Check:  placeholderValue,
		},
		&Rule{
			ID: "CFG012", Name: "include-not-found", Severity: "error", Priority: 2, Fix: Manual, Engine: true,
			Title:  "an included file is not there",
			When:   "a path of include does not exist beside the including file, or includes go round in a circle.",
			Why:    "a part of the configuration is missing when the proxy starts.",
			Remedy: "correct the path.",
			Source: []string{"LiteLLM configuration management guide"},
			Bad:    Example{Config: "include: [team.yaml]\n" + oneModel},
			Good:   Example{Config: "include: [models.yaml]\n", Extra: map[string]string{"models.yaml": oneModel}},
		},
		&Rule{
			ID: "CFG013", Name: "deprecated-key", Severity: "info", Priority: 3, Fix: Manual, Engine: true,
			Title:  "a setting that has been replaced, or does nothing",
			When:   "a key is deprecated, or accepted without effect.",
			Why:    "dead configuration misleads the next reader.",
			Remedy: "write what the message names, or delete the key.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "litellm_settings: {caching: true}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {cache: true}\n"},
		},
		&Rule{
			ID: "CFG014", Name: "env-source-unresolved", Severity: "info", Priority: 1, Fix: Manual, Engine: true,
			Title:  "a source of the environment could not be read",
			When:   "envFrom names an object that is not among the inputs, or the config refers to variables and no environment is given. Reported once.",
			Why:    "rules that must prove that a variable is absent stay silent.",
			Remedy: "add the manifest of that object, or pass the variables with --env-file.",
			Source: []string{"how doctor works"},
			Bad:    Example{Config: "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n"},
			Good:   Example{Config: "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n", Env: "LITELLM_MASTER_KEY=" + strongKey + "\n"},
		},
		&Rule{
			ID: "CFG016", Name: "suppression-without-reason", Severity: "error", Priority: 1, Fix: Manual, Engine: true,
			Title:  "an ignore comment that cannot be reviewed",
			When:   "an ignore comment or annotation has no reason, names no rule, or cannot be read. It then has no effect.",
			Why:    "nobody can tell later whether the exception still holds.",
			Remedy: "write # llmgw:ignore ID -- reason.",
			Source: []string{"how doctor works"},
			Bad:    Example{Config: "model_list: []  # llmgw:ignore CFG009\n"},
			Good:   Example{Config: "model_list: []  # llmgw:ignore CFG009 -- filled by the deployer\n"},
			Also:   []string{"CFG009"},
		},
		&Rule{
			ID: "CFG017", Name: "unused-suppression", Severity: "warning", Priority: 1, Fix: Safe, Engine: true,
			Title:  "an ignore that ignores nothing",
			When:   "a valid suppression matched no finding although its rule ran, or its date has passed.",
			Why:    "a stale ignore hides the next finding of that rule.",
			Remedy: "delete the comment.",
			Source: []string{"how doctor works"},
			Bad:    Example{Config: "# llmgw:ignore LOG004 -- plain text on purpose\nlitellm_settings: {json_logs: true}\n"},
			Good:   Example{Config: "litellm_settings: {json_logs: true}\n"},
		},
		&Rule{
			ID: "CFG018", Name: "env-word", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "a word that LiteLLM reads the other way round",
			When:   "a boolean variable holds a word whose meaning differs between what is written and what LiteLLM makes of it.",
			Why:    "the switch is not in the position it seems to be in: DISABLE_SCHEMA_UPDATE=1 does not disable anything.",
			Remedy: "write true or false.",
			Source: []string{"LiteLLM's own parsing of each variable"},
			Bad:    Example{Env: "DISABLE_SCHEMA_UPDATE=1\n"},
			Good:   Example{Env: "DISABLE_SCHEMA_UPDATE=true\n"},
			Check:  envWord,
		},
		&Rule{
			ID: "CFG019", Name: "yaml-trap", Severity: "warning", Priority: 1, Fix: Manual, Engine: true,
			Title:  "a value that YAML 1.1 reads as something else",
			When:   "an unquoted date, a number in base 60, or a number with a leading zero.",
			Why:    "LiteLLM gets a date or another number where a text was meant; an Azure api_version becomes a date and every call fails.",
			Remedy: "put the value in quotes.",
			Source: []string{"YAML 1.1"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: azure/gpt-4o, api_base: os.environ/AZURE_API_BASE, api_version: 2024-06-01}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: azure/gpt-4o, api_base: os.environ/AZURE_API_BASE, api_version: \"2024-06-01\"}\n"},
		},
		&Rule{
			ID: "CFG020", Name: "include-replaces-section", Severity: "error", Priority: 2, Fix: Manual, Engine: true,
			Title:  "an included file replaces a section",
			When:   "the same section stands in two of the files that include joins.",
			Why:    "the later one replaces the earlier one whole; only lists are joined.",
			Remedy: "keep each section in one file.",
			Source: []string{"LiteLLM's include"},
			Bad:    Example{Config: "include: [models.yaml]\ngeneral_settings: {alerting: [slack]}\n", Extra: map[string]string{"models.yaml": oneModel + "general_settings: {disable_error_logs: true}\n"}},
			Good:   Example{Config: "include: [models.yaml]\ngeneral_settings: {alerting: [slack]}\n", Extra: map[string]string{"models.yaml": oneModel}},
			Also:   []string{"LOG007"},
		},
		&Rule{
			ID: "CFG022", Name: "not-in-this-build", Severity: "error", Priority: 1, Fix: Manual, Target: facts.LLMGW,
			Title:  "something that this build of llmgw does not have",
			When:   "the target is llmgw, and a provider, a guardrail that is always on, a secret manager or a database login is not supported.",
			Why:    "a deployment of an unsupported provider is switched off; for the others llmgw refuses to start.",
			Remedy: "remove it, or keep LiteLLM for this deployment.",
			Source: []string{"docs/compatibility.md, D16 and D17"},
			Bad:    Example{Config: oneModel + "general_settings: {key_management_system: aws_kms}\n", Flags: Flags{Target: facts.LLMGW}},
			Good:   Example{Config: oneModel + "general_settings: {alerting: [slack]}\n", Flags: Flags{Target: facts.LLMGW}},
			Also:   []string{"LOG007"},
			Check:  notInThisBuild,
		},
		&Rule{
			ID: "CFG021", Name: "env-name-unknown", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "a variable that nothing reads",
			When:   "a variable whose name begins with LITELLM_, LITELM_, DATABASE_ or REDIS_ is known to nobody, a known name is near, and the config does not refer to it.",
			Why:    "a mistyped variable has no effect and no error.",
			Remedy: "correct the name.",
			Source: []string{"LiteLLM environment reference"},
			Bad:    Example{Env: "DISABLE_SCHEMA_UPDATE=true\nLITELM_SALT_KEY=" + strongSalt + "\n"},
			Good:   Example{Env: "DISABLE_SCHEMA_UPDATE=true\nLITELLM_SALT_KEY=" + strongSalt + "\n"},
			Check:  envNameUnknown,
		},
	)
}

func wrongType(u *Unit) []Hit {
	var out []Hit
	for _, section := range sections {
		for _, n := range u.Section(section).Items() {
			key, ok := litellm.LookupKey(section, n.Key)
			if !ok || n.IsNull() {
				continue
			}
			if text, _ := n.Scalar(); strings.HasPrefix(text, refPrefix) {
				continue
			}
			want := ""
			switch key.Type {
			case litellm.Int:
				if _, ok := n.Int(); !ok {
					want = "a whole number"
				}
			case litellm.Float, litellm.Sec:
				if _, ok := n.Number(); !ok {
					want = "a number"
				}
			case litellm.Bool:
				if _, ok := n.Bool(); !ok {
					want = "true or false"
				}
			case litellm.List:
				if n.Kind != config.List && !bareString[n.Key] {
					want = "a list"
				}
			case litellm.Map:
				if n.Kind != config.Map {
					want = "a mapping"
				}
			}
			if want == "" {
				continue
			}
			h := hitf(entrySpan(n), n.Path(), sevError, "%s must be %s, not %s", n.Path(), want, n.Kind)
			h.Fix = "write " + want + "."
			if text, _ := n.Scalar(); key.Type == litellm.Int || key.Type == litellm.Float || key.Type == litellm.Sec {
				if s, ok := inSeconds(text); ok {
					h.Fix = fmt.Sprintf("write seconds: %s: %s.", n.Key, s)
				}
			}
			out = append(out, h)
		}
	}
	return append(out, u.refusals("CFG006")...)
}

// refusals are the reasons not to start that the gateway itself would give,
// under one id of the catalogue.
func (u *Unit) refusals(id string) []Hit {
	if u.Config == nil || u.Tree == nil {
		return nil
	}
	var out []Hit
	for _, f := range startcheck.Check(u.Tree, startcheck.Facts{Host: "127.0.0.1"}) {
		if f.ID == id && f.Pos.Line > 0 {
			f.ID, f.Name = "", ""
			out = append(out, Hit{Finding: f})
		}
	}
	return out
}

// bareString are list settings that accept a single text.
var bareString = map[string]bool{"callbacks": true, "success_callback": true, "failure_callback": true, "alerting": true}

// inSeconds reads 10m as 600.
func inSeconds(text string) (string, bool) {
	if text == "" {
		return "", false
	}
	unit := map[byte]int{'s': 1, 'm': 60, 'h': 3600}[text[len(text)-1]]
	n, ok := atoi(text[:len(text)-1])
	if unit == 0 || !ok {
		return "", false
	}
	return fmt.Sprint(n * unit), true
}

// scalars yields every text of the config with its node.
func (u *Unit) scalars(yield func(n *config.Node, text string)) {
	if u.Config == nil {
		return
	}
	for n := range u.Config.Root.Walk() {
		if text, ok := n.Scalar(); ok {
			yield(n, text)
		}
	}
}

func envRefMissing(u *Unit) []Hit {
	if !u.Env.Closed() || u.secretManager() {
		return nil
	}
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		name, ok := strings.CutPrefix(text, refPrefix)
		if !ok || !identifier(name) || u.Env.Has(name) {
			return
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s refers to %s, which is not set", n.Path(), name)
		if near := nearestOf(name, u.Env.Names()); near != "" {
			h.Message += fmt.Sprintf("; did you mean %s?", near)
		}
		out = append(out, h)
	})
	return out
}

// nearestOf finds the candidate within two edits, or that contains or is
// contained in the word.
func nearestOf(word string, candidates []string) string {
	best, at := "", 3
	for _, c := range candidates {
		if d := distance(word, c); d < at {
			best, at = c, d
		}
	}
	if best != "" {
		return best
	}
	parts := strings.Split(word, "_")
	for _, c := range candidates {
		have := strings.Split(c, "_")
		if len(parts) > 1 && have[0] == parts[0] && have[len(have)-1] == parts[len(parts)-1] {
			return c
		}
	}
	return ""
}

func identifier(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		case i > 0 && r >= '0' && r <= '9':
		default:
			return false
		}
	}
	return s != ""
}

var malformedRef = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\$\{([^}]*)\}|\$\(?([A-Za-z_][A-Za-z0-9_]*)\)?|os\.environ\.([A-Za-z_]\w*)|os\.environ\[["']?([^\]"']*)["']?\]|os\.environ\.get\(.*|os\.getenv\(["']?([^)"']*)["']?\)|env\.([A-Z_][A-Z0-9_]*))$`)
})

func envRefMalformed(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		name := ""
		if rest, ok := strings.CutPrefix(text, refPrefix); ok {
			if identifier(rest) {
				return
			}
			name = rest
		} else {
			m := malformedRef().FindStringSubmatch(text)
			if m == nil {
				return
			}
			name = strings.Join(m[1:], "")
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s looks like a reference to a variable, but LiteLLM takes it as plain text", n.Path())
		if identifier(name) {
			h.Fix = "write " + refPrefix + name + "."
		}
		out = append(out, h)
	})
	return out
}

func incompleteEntry(u *Unit) []Hit {
	var out []Hit
	for i, n := range u.Section("model_list").Items() {
		var missing []string
		if n.Kind != config.Map {
			out = append(out, hitf(n.Pos, n.Path(), sevError, "model_list[%d] is %s, not a mapping with model_name and litellm_params", i, n.Kind))
			continue
		}
		if n.Get("model_name").IsNull() {
			missing = append(missing, "model_name")
		}
		if n.Get("litellm_params").Get("model").IsNull() {
			missing = append(missing, "litellm_params.model")
		}
		if len(missing) > 0 {
			pos := n.Pos
			pos.Offset, pos.End = 0, 0
			out = append(out, hitf(pos, n.Path(), sevError, "model_list[%d] lacks %s", i, quoteList(missing)))
		}
	}
	return out
}

func notInThisBuild(u *Unit) []Hit {
	out := u.refusals("CFG022")
	for m := range u.models() {
		v := u.Resolve(m.Params.Get("model"))
		if v.State != Known || v.Ref != "" {
			continue
		}
		prefix, _, found := strings.Cut(v.Text, "/")
		if p, ok := catalog.LookupProvider(prefix); found && ok && !p.Supported() {
			where := fmt.Sprintf("model_list[%d] %q", m.Index, m.Name)
			out = append(out, hitf(u.spanOf(v), v.Path, sevError, "%s", catalog.NotSupported(where, prefix)))
		}
	}
	return out
}

func placeholderValue(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		if litellm.Placeholder(text) {
			out = append(out, hitf(valueSpan(n), n.Path(), sevError, "%s is a placeholder of the documentation", n.Path()))
		}
	})
	for _, name := range u.Env.Names() {
		v, _ := u.Env.Lookup(name)
		if v.Known && v.Source != "environment_variables" && litellm.Placeholder(v.Value) {
			out = append(out, hitf(v.Pos, name, sevError, "the value of %s is a placeholder of the documentation", name))
		}
	}
	return out
}

func envWord(u *Unit) []Hit {
	var out []Hit
	for _, name := range u.Env.Names() {
		v, _ := u.Env.Lookup(name)
		known, ok := litellm.LookupEnv(name)
		if !ok || !v.Known || known.Theirs == litellm.WordsNone {
			continue
		}
		if _, warning, _ := litellm.ParseEnvBool(name, v.Value); warning != "" {
			out = append(out, hitf(v.Pos, name, sevError, "%s", warning))
		}
	}
	return out
}

func envNameUnknown(u *Unit) []Hit {
	referenced := map[string]bool{}
	u.scalars(func(_ *config.Node, text string) {
		if name, ok := strings.CutPrefix(text, refPrefix); ok {
			referenced[name] = true
		}
	})
	var out []Hit
	for _, name := range u.Env.Names() {
		if _, ok := litellm.LookupEnv(name); ok || referenced[name] || !ourPrefix(name) {
			continue
		}
		best, at := "", 3
		for _, known := range litellm.Env() {
			if d := distance(name, known.Name); d < at {
				best, at = known.Name, d
			}
		}
		if best == "" {
			continue
		}
		v, _ := u.Env.Lookup(name)
		h := hitf(v.Pos, name, sevWarn, "nothing reads the variable %s; did you mean %s?", name, best)
		h.Fix = "rename it to " + best + "."
		out = append(out, h)
	}
	return out
}

func ourPrefix(name string) bool {
	for _, p := range []string{"LITELLM_", "LITELM_", "DATABASE_", "REDIS_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
