package rule

import (
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/litellm/duration"
)

const refPrefix = "os.environ/"

// State is how much is known of a value.
type State int

// The states.
const (
	Absent  State = iota // nothing is written
	Unset                // a reference to a variable that is certainly not set, or null
	Unknown              // present, but the inputs do not hold the value
	Known
)

// Val is an effective value: written, or behind an os.environ/ reference.
type Val struct {
	State State
	Text  string
	Node  *config.Node // as written in the config; nil for a bare variable
	Ref   string       // the variable, when referenced or taken from the environment
	// Pos is where the literal stands, At where the setting is written.
	Pos, At finding.Position
	Path    string
}

// Present reports whether something is there, known or not.
func (v Val) Present() bool { return v.State == Known || v.State == Unknown }

// Section is a top-level section of the config, nil when absent or null.
func (u *Unit) Section(name string) *config.Node {
	if u.Config == nil {
		return nil
	}
	n := u.Config.Root.Get(name)
	if n.IsNull() {
		return nil
	}
	return n
}

// Node follows a path in the config.
func (u *Unit) Node(path string) *config.Node {
	if u.Config == nil {
		return nil
	}
	return u.Config.Root.Lookup(path)
}

// Resolve gives the effective value of a node.
func (u *Unit) Resolve(n *config.Node) Val {
	if n == nil {
		return Val{}
	}
	v := Val{Node: n, At: n.Where(), Path: n.Path()}
	v.Pos = valueSpan(n)
	if n.IsNull() {
		v.State = Unset
		return v
	}
	text, ok := n.Scalar()
	if !ok {
		v.State = Unknown
		return v
	}
	name, isRef := strings.CutPrefix(text, refPrefix)
	if !isRef {
		v.State, v.Text = Known, text
		return v
	}
	v.Ref = name
	e := u.variable(name)
	switch {
	case e.State == Absent && u.Env.Closed() && !u.secretManager():
		v.State = Unset
	case e.State == Absent:
		v.State = Unknown
	default:
		v.State, v.Text, v.Pos = e.State, e.Text, e.Pos
	}
	return v
}

// variable is an environment variable as a value.
func (u *Unit) variable(name string) Val {
	e, ok := u.Env.Lookup(name)
	switch {
	case !ok:
		return Val{Ref: name}
	case !e.Known:
		return Val{State: Unknown, Ref: name, Pos: e.Pos, At: e.Pos}
	}
	return Val{State: Known, Text: e.Value, Ref: name, Pos: e.Pos, At: e.Pos}
}

// Setting is the value at a path of the config.
func (u *Unit) Setting(path string) Val { return u.Resolve(u.Node(path)) }

// SettingOr is the setting, or the variable that stands in for it.
func (u *Unit) SettingOr(path string, names ...string) Val {
	if v := u.Setting(path); v.State != Absent {
		return v
	}
	for _, name := range names {
		if v := u.variable(name); v.State != Absent {
			return v
		}
	}
	return Val{}
}

// On reports whether a boolean setting is known to be true.
func (u *Unit) On(path string) bool {
	b, ok := u.Bool(path)
	return ok && b
}

// Bool reads a boolean setting.
func (u *Unit) Bool(path string) (value, ok bool) {
	v := u.Setting(path)
	if v.State != Known {
		return false, false
	}
	if v.Ref == "" {
		return v.Node.Bool()
	}
	switch strings.ToLower(strings.TrimSpace(v.Text)) {
	case "true", "1", "yes", "on":
		return true, true
	case "false", "0", "no", "off":
		return false, true
	}
	return false, false
}

// EnvOn reports whether a boolean variable is known to be true.
func (u *Unit) EnvOn(name string) bool {
	v := u.variable(name)
	if v.State != Known {
		return false
	}
	b, _, ok := litellm.ParseEnvBool(name, v.Text)
	return ok && b
}

// EnvMaybe reports whether a variable is present with a value that is not
// known, so that nothing can be said about it.
func (u *Unit) EnvMaybe(name string) bool { return u.variable(name).State == Unknown }

// EnvAbsent reports whether a variable is certainly not set.
func (u *Unit) EnvAbsent(name string) bool { return u.Env.Closed() && !u.Env.Has(name) }

// Number reads a number setting.
func (u *Unit) Number(path string) (float64, Val, bool) {
	v := u.Setting(path)
	n, ok := v.number()
	return n, v, ok
}

func (v Val) number() (float64, bool) {
	if v.State != Known {
		return 0, false
	}
	if v.Ref == "" && v.Node != nil {
		return v.Node.Number()
	}
	return parseFloat(v.Text)
}

func (u *Unit) secretManager() bool {
	return u.Setting("general_settings.key_management_system").Present()
}

// DatabaseURL is the URL the gateway uses.
func (u *Unit) DatabaseURL() Val { return u.SettingOr("general_settings.database_url", "DATABASE_URL") }

// DatabaseInUse follows the catalogue's definition: a URL or a host is
// present.
func (u *Unit) DatabaseInUse() bool {
	return u.DatabaseURL().Present() || u.Env.Has("DATABASE_URL") || u.Env.Has("DATABASE_HOST")
}

// RedisInUse follows the catalogue's definition.
func (u *Unit) RedisInUse() bool {
	if u.Setting("router_settings.redis_host").Present() || u.Setting("router_settings.redis_url").Present() {
		return true
	}
	if u.redisCache() {
		return true
	}
	return u.redisEnv() != ""
}

// redisEnv is the first variable that points at a Redis.
func (u *Unit) redisEnv() string {
	for _, name := range []string{"REDIS_HOST", "REDIS_URL", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES"} {
		if u.Env.Has(name) {
			return name
		}
	}
	return ""
}

// redisCache reports whether the response cache is on and of type redis: named
// so, or without any cache_params.
func (u *Unit) redisCache() bool {
	if !u.On("litellm_settings.cache") {
		return false
	}
	params := u.Node("litellm_settings.cache_params")
	if params.IsNull() || params.Len() == 0 {
		return true
	}
	v := u.Resolve(params.Get("type"))
	return v.State == Known && strings.HasPrefix(v.Text, "redis")
}

// valueSpan is the position of a value's entry with the caret under the value.
func valueSpan(n *config.Node) finding.Position {
	p := n.Where()
	if n.IsScalar() && n.Pos.Line == p.Line {
		p.Offset, p.End = n.Pos.Offset, n.Pos.End
	}
	return p
}

// entrySpan is the position of an entry with the caret under key and value.
func entrySpan(n *config.Node) finding.Position {
	p := n.Where()
	if n.IsScalar() && n.Pos.Line == p.Line && n.Pos.End > p.Offset && p.End > 0 {
		p.End = n.Pos.End
	}
	return p
}

// At is where to report a setting: its entry, else its section, else line 1.
func (u *Unit) At(path string) finding.Position {
	if u.Config == nil {
		return u.fallbackPos()
	}
	if n := u.Node(path); n != nil {
		return entrySpan(n)
	}
	if section, _, ok := strings.Cut(path, "."); ok {
		if n := u.Config.Root.Get(section); n != nil {
			return n.Where()
		}
	}
	return u.Config.Line1()
}

// Top is where to report what the whole process lacks.
func (u *Unit) Top() finding.Position {
	if u.Config != nil {
		return u.Config.Line1()
	}
	return u.fallbackPos()
}

func (u *Unit) fallbackPos() finding.Position {
	switch {
	case u.Container != nil && !u.Container.EnvPos.IsZero():
		return u.Container.EnvPos
	case u.Container != nil:
		return u.Container.Name.Pos
	case len(u.Model.EnvFiles) > 0:
		return finding.Position{File: u.Model.EnvFiles[0].File, Line: 1, Col: 1}
	}
	return finding.Position{}
}

func hit(pos finding.Position, path string, sev finding.Severity, message string) []Hit {
	return []Hit{{Finding: finding.Finding{Pos: pos, Path: path, Severity: sev, Message: message}}}
}

// Duration reads a setting such as "30d" or a number of seconds.
func (u *Unit) Duration(path string) (time.Duration, bool) {
	v := u.Setting(path)
	if v.State != Known {
		return 0, false
	}
	if n, ok := v.number(); ok {
		return time.Duration(n * float64(time.Second)), true
	}
	w, err := duration.Parse(v.Text)
	if err != nil || w.IsZero() {
		return 0, false
	}
	return w.Length(time.Now()), true
}
