package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
)

func (u *Unit) masterKey() Val {
	return u.SettingOr("general_settings.master_key", "LITELLM_MASTER_KEY")
}

// path is the logical path of a value that may come from a variable.
func (v Val) path(variable string) string {
	if v.Path != "" {
		return v.Path
	}
	return variable
}

func offRule(path, message string) func(*Unit) []Hit {
	return func(u *Unit) []Hit {
		v, ok := u.Bool(path)
		return when(ok && !v, u.At(path), path, sevError, "%s", message)
	}
}

// secretKeys are config keys whose value is a secret.
var secretKeys = []string{
	"api_key", "master_key", "password", "redis_password", "aws_secret_access_key", "aws_access_key_id", "aws_session_token",
	"s3_aws_secret_access_key", "s3_aws_access_key_id", "sentinel_password", "vertex_credentials", "azure_ad_token", "client_secret",
	"litellm_license", "drain_endpoint_token", "azure_password",
}

// noSecret are values that people write where a client demands some key.
var noSecret = []string{"", "none", "null", "empty", "dummy", "na", "n/a", "not-needed", "anything", "unused", "not-used", "not_used", "notused",
	"not_needed", "no-key", "no-key-required", "no-key-needed", "local", "ollama", "lm-studio", "vllm", "sk-none", "sk-local"}

var providerKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(sk-ant-[\w-]{8,}|sk-proj-[\w-]{8,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}|ghp_\w{20,}|gsk_\w{20,}|xai-\w{20,}|hf_\w{20,}|sk-[A-Za-z0-9]{20,})$`)
})

// secretName reports whether a variable's name says that it holds a secret.
func secretName(name string) bool {
	name = strings.ToUpper(name)
	if strings.HasSuffix(name, "PUBLIC_KEY") {
		return false
	}
	for _, end := range []string{"_KEY", "_TOKEN", "_SECRET", "PASSWORD", "_WEBHOOK_URL", "_CREDENTIALS", "_API_KEYS", "_SECRET_ACCESS_KEY"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// urlPassword reports whether a URL holds a literal password.
func urlPassword(text string) bool {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return false
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return false
	}
	_, password, ok := strings.Cut(authority[:at], ":")
	return ok && password != "" && !strings.HasPrefix(password, "$(") && !strings.HasPrefix(password, "${")
}

func literal(text string) bool {
	return !strings.HasPrefix(text, "os.environ") && !slices.Contains(noSecret, strings.ToLower(strings.TrimSpace(text))) && malformedRef().FindString(text) == ""
}

func secretInConfig(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		if !literal(text) || n.Kind == config.Bool {
			return
		}
		what := ""
		inVariables := n.Parent() != nil && n.Parent().Key == "environment_variables" && n.Parent().Parent() != nil && n.Parent().Parent().Parent() == nil
		switch {
		case slices.Contains(secretKeys, n.Key), inVariables && secretName(n.Key):
			what = "holds a secret in plain text"
		case urlPassword(text):
			what = "holds a password in plain text"
		case providerKey().MatchString(text):
			what = "looks like a provider's key in plain text"
		default:
			return
		}
		if n.Path() == "general_settings.master_key" && litellm.WellKnownKey(text) {
			return
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s %s (%s)", n.Path(), what, mask(text))
		if urlPassword(text) {
			h.Message = fmt.Sprintf("%s %s", n.Path(), what)
		}
		out = append(out, h)
	})
	return out
}

func secretInManifest(u *Unit) []Hit {
	var out []Hit
	check := func(name, value string, v manifest.EnvVar, where string) {
		url := name == "DATABASE_URL" || name == "DIRECT_URL" || name == "REDIS_URL" || strings.HasSuffix(name, "_URL") && !strings.HasSuffix(name, "_WEBHOOK_URL")
		switch {
		case value == "" || strings.Contains(value, "$("), !literal(value), litellm.Placeholder(value):
			return
		case url && !urlPassword(value), !url && !secretName(name):
			return
		}
		pos := v.Pos
		if v.ValPos.Line == pos.Line {
			pos.Offset, pos.End = v.ValPos.Offset, v.ValPos.End
		}
		out = append(out, hitf(pos, name, sevError, "%s holds %s in plain text", where, name))
	}
	workloads := u.Model.Workloads
	if u != u.Model.Units[0] {
		workloads = nil // one unit speaks for all of them
	}
	for _, w := range workloads {
		for _, c := range slices.Concat(w.Containers, w.Init) {
			if !c.Gateway {
				continue
			}
			for _, v := range c.Env {
				if v.From == "value" && v.Known {
					check(v.Name, v.Value, v, w.Kind+" "+w.Name)
				}
			}
		}
	}
	for _, o := range u.configMaps() {
		for _, n := range o.Node.Get("data").Items() {
			if text, ok := n.Scalar(); ok && !strings.Contains(text, "\n") {
				check(n.Key, text, manifest.EnvVar{Pos: n.Where(), ValPos: n.Pos}, "ConfigMap "+o.Name)
			}
		}
	}
	return out
}

// configMaps are those that the gateway container takes something from.
func (u *Unit) configMaps() []*manifest.Object {
	if u.Workload == nil {
		return nil
	}
	var out []*manifest.Object
	add := func(name string) {
		for _, o := range u.Model.index().named[[2]string{"ConfigMap", name}] {
			if !slices.Contains(out, o) {
				out = append(out, o)
			}
		}
	}
	for _, f := range u.Container.EnvFrom {
		if f.Kind == "ConfigMap" {
			add(f.Name)
		}
	}
	for _, v := range u.Workload.Volumes {
		if v.Kind == "configMap" {
			add(v.Source)
		}
	}
	return out
}

func keyDrift(u *Unit) []Hit {
	var out []Hit
	for _, name := range []string{"LITELLM_SALT_KEY", "LITELLM_MASTER_KEY"} {
		mine, ok := u.Container.LookupEnv(name)
		if !ok || !mine.Known {
			continue
		}
		if other := u.Model.holder(name); other != u {
			theirs, _ := other.Container.LookupEnv(name)
			if theirs.Value == mine.Value {
				continue
			}
			h := hitf(mine.Pos, name, sevError, "%s of %s differs from that of %s", name, u.Workload.Name, other.Workload.Name)
			h.Related = []finding.Related{{Pos: theirs.Pos, Message: name + " of " + other.Workload.Name}}
			out = append(out, h)
		}
	}
	return out
}

func driftManifest(a, b string) string {
	one := func(name, salt string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {app: " + name + "}}\n  template:\n    metadata: {labels: {app: " + name + "}}\n    spec:\n      containers:\n        - name: litellm\n          image: ghcr.io/berriai/litellm:v1.91.4\n          env: [{name: LITELLM_SALT_KEY, value: " + salt + "}]\n"
	}
	return one("a", a) + "---\n" + one("b", b)
}

type exposure struct {
	what string
	pos  finding.Position
}

// exposures are the objects that make the gateway reachable for strangers.
func (u *Unit) exposures() []exposure {
	var out []exposure
	services, routes := u.Model.Objects, u.Model.Objects
	if u.Workload != nil {
		services, routes = u.Workload.Services, u.Workload.Ingresses
	}
	for _, o := range routes {
		if o.Kind != "Ingress" && o.Kind != "HTTPRoute" {
			continue
		}
		_, source := o.Annotations["nginx.ingress.kubernetes.io/whitelist-source-range"]
		_, allow := o.Annotations["nginx.ingress.kubernetes.io/allowlist-source-range"]
		if source || allow || o.Annotations["alb.ingress.kubernetes.io/scheme"].Value == "internal" {
			continue
		}
		out = append(out, exposure{o.String(), o.NamePos})
	}
	for _, o := range services {
		if o.Kind != "Service" {
			continue
		}
		t := o.Node.Lookup("spec.type")
		kind, _ := t.Scalar()
		internal := false
		for key, v := range o.Annotations {
			if strings.Contains(key, "internal") && v.Value != "false" || strings.HasSuffix(key, "load-balancer-type") && strings.EqualFold(v.Value, "internal") || strings.HasSuffix(key, "scheme") && v.Value == "internal" {
				internal = true
			}
		}
		if kind == "NodePort" || kind == "LoadBalancer" && !internal {
			out = append(out, exposure{o.String() + " of type " + kind, t.Where()})
		}
	}
	return out
}

func uiLogin(u *Unit) []Hit {
	if !u.DatabaseInUse() || u.EnvOn("DISABLE_ADMIN_UI") || u.EnvMaybe("DISABLE_ADMIN_UI") || u.On("general_settings.disable_env_credential_login") {
		return nil
	}
	v := u.variable("UI_PASSWORD")
	if v.State == Known {
		weak := slices.Contains([]string{"admin", "password", "litellm", "langchain", "changeme", "sk-1234"}, strings.ToLower(v.Text)) || len(v.Text) < 8
		return when(weak, v.Pos, "UI_PASSWORD", sevError, "UI_PASSWORD is easy to guess")
	}
	return when(u.EnvAbsent("UI_PASSWORD"), u.At("general_settings.disable_env_credential_login"), "UI_PASSWORD", sevWarn, "the admin UI accepts the user admin with the master key")
}

// versionAt is where to report the LiteLLM version.
func (u *Unit) versionAt() finding.Position {
	if !u.VersionPos.IsZero() {
		return u.VersionPos
	}
	return u.Top()
}

func vulnerable(u *Unit) []Hit {
	if !u.VersionKnown {
		return nil
	}
	var ids []string
	h := Hit{}
	for _, a := range litellm.Advisories(u.Version.String()) {
		if a.Severity != "error" || strings.HasPrefix(a.ID, "compromised") {
			continue // SEC023 speaks of those
		}
		if a.ID == "CVE-2026-35030" && u.Config != nil && !u.On("general_settings.enable_jwt_auth") {
			continue // concerns JWT authentication only
		}
		ids = append(ids, a.ID)
		h.Detail = append(h.Detail, a.ID+": "+a.Summary)
		if a.Fix != "" {
			h.Fix = a.Fix + "."
		}
	}
	if len(ids) == 0 {
		return nil
	}
	h.Finding.Pos, h.Severity = u.versionAt(), sevError
	h.Message = fmt.Sprintf("LiteLLM %s has known vulnerabilities: %s", u.Version, quoteList(ids))
	return []Hit{h}
}
