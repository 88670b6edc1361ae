package rule

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	register(
		&Rule{
			ID: "LOG001", Name: "set-verbose-on", Severity: "error", Priority: 1, Fix: Safe,
			Title:  "debug output is on",
			When:   "set_verbose is true in litellm_settings or router_settings.",
			Why:    "prompts and parameters, in some releases keys too, are printed, and every large request costs seconds.",
			Remedy: "write set_verbose: false.",
			Source: []string{"LiteLLM production guide, section 1", "LiteLLM issues 612 and 1127"},
			Bad:    Example{Config: oneModel + "litellm_settings: {set_verbose: true}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {set_verbose: false}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, path := range []string{settings + "set_verbose", router + "set_verbose"} {
					if u.On(path) {
						h := u.debug(u.At(path), path, "debug output is on: prompts are printed")
						if v := u.Setting(path); v.Ref == "" {
							h.Edits = replaceValue(v.Node, "false")
						}
						out = append(out, h)
					}
				}
				return out
			},
		},
		&Rule{
			ID: "LOG002", Name: "debug-level", Severity: "error", Priority: 1, Fix: Unsafe,
			Title:  "the log level is DEBUG",
			When:   "LITELLM_LOG is DEBUG, --detailed_debug or DETAILED_DEBUG is on, or router_settings.debug_level is DEBUG.",
			Why:    "prompts and parameters, in some releases keys too, are printed, and every large request costs seconds.",
			Remedy: "set LITELLM_LOG=ERROR and drop the flag.",
			Source: []string{"LiteLLM production guide, section 1 and extras", "LiteLLM issues 7603 and 13073"},
			Bad:    Example{Env: "LITELLM_LOG=DEBUG\n"},
			Good:   Example{Env: "LITELLM_LOG=ERROR\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				if v := u.variable("LITELLM_LOG"); v.State == Known && strings.EqualFold(strings.TrimSpace(v.Text), "DEBUG") {
					out = append(out, u.debug(v.Pos, "LITELLM_LOG", "the log level is DEBUG: prompts are printed"))
				}
				if a, ok := u.Args.Get("detailed_debug"); ok {
					out = append(out, u.debug(a.Pos, "--detailed_debug", "--detailed_debug prints prompts"))
				}
				if v := u.variable("DETAILED_DEBUG"); u.EnvOn("DETAILED_DEBUG") {
					out = append(out, u.debug(v.Pos, "DETAILED_DEBUG", "DETAILED_DEBUG prints prompts"))
				}
				if v := u.Setting(router + "debug_level"); v.State == Known && strings.EqualFold(v.Text, "DEBUG") {
					out = append(out, hitf(u.spanOf(v), v.Path, sevError, "the router's debug_level is DEBUG"))
				}
				return out
			},
		},
		&Rule{
			ID: "LOG003", Name: "log-level-not-error", Severity: "info", Priority: 1, Fix: Safe, Closed: true, Off: []Profile{Dev},
			Title:  "one log line per request",
			When:   "LITELLM_LOG is certainly absent, INFO or WARNING.",
			Why:    "the line per request costs time and money at scale; INFO is tolerable.",
			Remedy: "set LITELLM_LOG=ERROR.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Env: "LITELLM_LOG=INFO\n"},
			Good:   Example{Env: "LITELLM_LOG=ERROR\n"},
			Check: func(u *Unit) []Hit {
				v := u.variable("LITELLM_LOG")
				level := strings.ToUpper(strings.TrimSpace(v.Text))
				switch {
				case v.State == Known && slices.Contains([]string{"INFO", "WARNING", "WARN"}, level):
					return hit(v.Pos, "LITELLM_LOG", sevInfo, "the log level is "+level)
				case u.EnvAbsent("LITELLM_LOG") && (u.Config != nil || u.Container != nil):
					return hit(u.Top(), "LITELLM_LOG", sevInfo, "LITELLM_LOG is not set: one line per request is logged")
				}
				return nil
			},
		},
		&Rule{
			ID: "LOG004", Name: "json-logs-off", Severity: "warning", Priority: 1, Fix: Safe, Off: []Profile{Dev},
			Title:  "logs are plain text",
			When:   "json_logs is not true, and JSON_LOGS is not either.",
			Why:    "a traceback of many lines breaks into as many records in the log pipeline.",
			Remedy: "write litellm_settings.json_logs: true.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: oneModel + "litellm_settings: {request_timeout: 600}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {request_timeout: 600, json_logs: true}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Closed: true,
			Check: func(u *Unit) []Hit {
				const path = settings + "json_logs"
				v := u.Setting(path)
				if u.Config == nil || u.On(path) || v.State == Unknown || u.EnvOn("JSON_LOGS") || u.EnvMaybe("JSON_LOGS") {
					return nil
				}
				if v.State == Absent && !u.Env.Closed() {
					return nil
				}
				h := hitf(u.At(path), path, sevWarn, "logs are plain text: json_logs is not true")
				if v.State == Absent {
					h.Edits = u.insert("litellm_settings", "json_logs: true")
				} else if v.Ref == "" {
					h.Edits = replaceValue(v.Node, "true")
				}
				return []Hit{h}
			},
		},
		&Rule{
			ID: "LOG005", Name: "secret-redaction-off", Severity: "error", Priority: 1, Fix: Safe,
			Title:  "secrets are not masked in logs",
			When:   "LITELLM_DISABLE_REDACT_SECRETS is true.",
			Why:    "it switches the masking of keys off.",
			Remedy: "delete the variable.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Env: "LITELLM_DISABLE_REDACT_SECRETS=true\n"},
			Good:   Example{Env: "LITELLM_DISABLE_REDACT_SECRETS=false\n"},
			Check:  trueVariable("LITELLM_DISABLE_REDACT_SECRETS", sevError, "secrets are not masked in logs"),
		},
		&Rule{
			ID: "LOG006", Name: "payload-printing", Severity: "warning", Priority: 2, Fix: Safe,
			Title:  "every payload is printed",
			When:   "LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD is true.",
			Why:    "prompts end up in the logs.",
			Remedy: "delete the variable.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Env: "LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD=true\n"},
			Good:   Example{Env: "LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD=false\n"},
			Check:  trueVariable("LITELLM_PRINT_STANDARD_LOGGING_PAYLOAD", sevWarn, "every payload is printed"),
		},
		&Rule{
			ID: "LOG007", Name: "alerting-off", Severity: "warning", Priority: 1, Fix: Manual, Off: []Profile{Dev},
			Title:  "nobody is told when something breaks",
			When:   "general_settings.alerting is absent or empty.",
			Why:    "exceptions, slow answers and crossed budgets go unnoticed.",
			Remedy: "write general_settings.alerting: [\"slack\"], or an ignore comment that says what watches instead.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: oneModel + "general_settings: {disable_error_logs: true}\n"},
			Good:   Example{Config: oneModel + "general_settings: {disable_error_logs: true, alerting: [slack]}\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "alerting"
				n := u.Node(path)
				return when(u.Config != nil && !n.IsScalar() && n.Len() == 0, u.At(path), path, sevWarn, "alerting is off: exceptions and slow answers go unnoticed")
			},
		},
		&Rule{
			ID: "LOG008", Name: "alerting-webhook-missing", Severity: "error", Priority: 1, Fix: Manual, Closed: true,
			Title:  "alerts have nowhere to go",
			When:   "alerting contains slack, SLACK_WEBHOOK_URL is certainly absent, and alert_to_webhook_url is not set.",
			Why:    "alerts are configured and reach nobody.",
			Remedy: "set SLACK_WEBHOOK_URL, and try it: GET /health/services?service=slack.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: oneModel + "general_settings: {alerting: [slack]}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "general_settings: {alerting: [slack]}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nSLACK_WEBHOOK_URL=https://hooks.slack.com/services/T0/B0/x\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "alerting"
				return when(u.listHas(path, "slack") && u.EnvAbsent("SLACK_WEBHOOK_URL") && u.Setting(general+"alert_to_webhook_url").State == Absent, u.At(path), path, sevError,
					"alerting names slack, but SLACK_WEBHOOK_URL is not set")
			},
		},
		&Rule{
			ID: "LOG009", Name: "alerts-carry-prompts", Severity: "info", Priority: 2, Fix: Safe,
			Title:  "alerts contain what users wrote",
			When:   "alerting is on and litellm_settings.redact_messages_in_exceptions is not true.",
			Why:    "alert texts include the users' messages.",
			Remedy: "write litellm_settings.redact_messages_in_exceptions: true.",
			Source: []string{"LiteLLM alerting guide"},
			Bad:    Example{Config: oneModel + "general_settings: {alerting: [slack]}\n"},
			Good:   Example{Config: oneModel + "general_settings: {alerting: [slack]}\nlitellm_settings: {redact_messages_in_exceptions: true, request_timeout: 600, json_logs: true}\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "alerting"
				on := u.Node(path).IsScalar() || u.Node(path).Len() > 0
				return when(on && !u.On(settings+"redact_messages_in_exceptions"), u.At(path), path, sevInfo, "alerts contain what users wrote: redact_messages_in_exceptions is not true")
			},
			Also: map[string]string{"TMO001": "the section with the timeout is not in it"},
		},
		&Rule{
			ID: "LOG011", Name: "callback-env-missing", Severity: "error", Priority: 1, Fix: Manual, Closed: true,
			Title:  "a callback lacks its credentials",
			When:   "a callback whose variables are known is listed, and one of them is certainly absent.",
			Why:    "traces are dropped in silence, or every request logs an error.",
			Remedy: "set the variables.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "litellm_settings: {callbacks: [langsmith]}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {callbacks: [langsmith]}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nLANGSMITH_API_KEY=ls-0123456789\n"},
			Check:  callbackEnv,
		},
		&Rule{
			ID: "LOG012", Name: "prometheus-multiproc-dir", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM, Closed: true,
			Title:  "metrics of several workers in one pod",
			When:   "prometheus is among the callbacks, there is more than one worker, and PROMETHEUS_MULTIPROC_DIR is certainly absent.",
			Why:    "each scrape hits a random worker, so counters go up and down.",
			Remedy: "set PROMETHEUS_MULTIPROC_DIR to an emptyDir, or run one worker per pod.",
			Source: []string{"LiteLLM Prometheus guide", "LiteLLM issues 10595 and 20911"},
			Bad: k8s("      json_logs: true\n", "      json_logs: true\n      callbacks: [\"prometheus\"]\n").
				and(`"--num_workers", "1"`, `"--num_workers", "4", "--run_gunicorn"`),
			Good: k8s(`"--num_workers", "1"`, `"--num_workers", "4", "--run_gunicorn"`),
			Check: func(u *Unit) []Hit {
				for _, path := range []string{settings + "callbacks", settings + "success_callback"} {
					if u.listHas(path, "prometheus") && u.W.Value > 1 && u.EnvAbsent("PROMETHEUS_MULTIPROC_DIR") {
						return hit(u.At(path), path, sevWarn, u.W.String()+" workers, but PROMETHEUS_MULTIPROC_DIR is not set: each scrape hits a random one")
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "LOG014", Name: "callback-content", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "prompts leave for another service",
			When:   "an external callback is on and turn_off_message_logging is not true.",
			Why:    "prompts and answers leave the network.",
			Remedy: "write litellm_settings.turn_off_message_logging: true, or an ignore comment that says that it is intended.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "litellm_settings: {callbacks: [langfuse]}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {callbacks: [langfuse], turn_off_message_logging: true}\n"},
			Check: func(u *Unit) []Hit {
				if u.On(settings + "turn_off_message_logging") {
					return nil
				}
				for _, key := range []string{"callbacks", "success_callback", "failure_callback"} {
					for _, n := range u.strs(u.Node(settings + key)) {
						if name, _ := n.Scalar(); callbackVars[strings.ToLower(name)] != nil {
							sev := sevInfo
							if u.Model.Flags.Profile == VPC {
								sev = sevWarn
							}
							return hit(u.At(settings+key), settings+key, sev, "prompts and answers go to "+name)
						}
					}
				}
				return nil
			},
		},
	)
}

// callbackVars are what known callbacks need.
var callbackVars = map[string][]string{
	"langfuse":  {"LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"},
	"langsmith": {"LANGSMITH_API_KEY"},
	"datadog":   {"DD_API_KEY"},
	"sentry":    {"SENTRY_DSN"},
	"helicone":  {"HELICONE_API_KEY"},
	"lago":      {"LAGO_API_BASE", "LAGO_API_KEY"},
}

func callbackEnv(u *Unit) []Hit {
	if !u.Env.Closed() {
		return nil
	}
	seen := map[string]bool{}
	var out []Hit
	for _, key := range []string{"callbacks", "success_callback", "failure_callback"} {
		for _, n := range u.strs(u.Node(settings + key)) {
			name, _ := n.Scalar()
			name = strings.ToLower(name)
			if seen[name] {
				continue
			}
			seen[name] = true
			var missing []string
			for _, v := range callbackVars[name] {
				if !u.Env.Has(v) {
					missing = append(missing, v)
				}
			}
			if len(missing) > 0 {
				out = append(out, hitf(n.Where(), n.Path(), sevError, "the callback %s lacks %s", name, quoteList(missing)))
			}
		}
	}
	return out
}

func trueVariable(name string, sev finding.Severity, message string) func(*Unit) []Hit {
	return func(u *Unit) []Hit {
		v := u.variable(name)
		return when(u.EnvOn(name) || v.State == Known && strings.EqualFold(strings.TrimSpace(v.Text), "true"), v.Pos, name, sev, "%s: %s is on", message, name)
	}
}

// debug is debug output that LiteLLM fills with prompts. llmgw logs none at any
// level; there it is a warning, for the day the file is LiteLLM's again.
func (u *Unit) debug(pos finding.Position, path, message string) Hit {
	if u.Target == facts.LLMGW {
		return hitf(pos, path, sevWarn, "%s by LiteLLM, by llmgw never", message)
	}
	return hitf(pos, path, sevError, "%s", message)
}
