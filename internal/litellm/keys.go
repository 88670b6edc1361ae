package litellm

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// Names of the sections in which keys live. A section is named by the last
// mapping that holds its keys, not by its full path: litellm_params is the
// section of a model_list entry's call parameters.
const (
	SectionTop                = ""                          // the file's root mapping
	SectionModelEntry         = "model_list"                // one entry of model_list
	SectionLiteLLMParams      = "litellm_params"            // model_list[].litellm_params
	SectionModelInfo          = "model_info"                // model_list[].model_info
	SectionGeneral            = "general_settings"          //
	SectionLiteLLM            = "litellm_settings"          //
	SectionCacheParams        = "cache_params"              // litellm_settings.cache_params
	SectionRouter             = "router_settings"           //
	SectionRetryPolicy        = "retry_policy"              // also model_group_retry_policy.<group>
	SectionAllowedFailsPolicy = "allowed_fails_policy"      //
	SectionCredential         = "credential_list"           // one entry of credential_list
	SectionGuardrail          = "guardrails"                // one entry of guardrails
	SectionGuardrailParams    = "guardrails.litellm_params" // one entry of guardrails: its litellm_params
	SectionMCPServer          = "mcp_servers"               // one server of mcp_servers
	SectionAlertingArgs       = "alerting_args"             // general_settings.alerting_args
	SectionCoordinationRedis  = "coordination_redis"        // general_settings.coordination_redis
	SectionKeyManagement      = "key_management_settings"   // general_settings.key_management_settings
	SectionJobStagger         = "scheduled_job_stagger"     // general_settings.scheduled_job_stagger
	SectionPassThrough        = "pass_through_endpoints"    // one entry of general_settings.pass_through_endpoints
	SectionLLMGW              = "llmgw"                     // llmgw's own settings, a top-level mapping
	SectionLogSink            = "log_sink"                  // llmgw.log_sink
)

// Type says what shape a value has.
type Type string

// The shapes of values; a value of several is written with "|" between them
// (see Type.Is). Sec is a number of seconds, Dur a text such as "30s" or
// "7d", Cron a five-field crontab line, Number an int or float, Any anything.
const (
	Bool  Type = "bool"
	Int   Type = "int"
	Float Type = "float"
	Str   Type = "str"
	Sec   Type = "sec"
	Dur   Type = "dur"
	Cron  Type = "cron"
	Enum  Type = "enum" // one of Key.Values
	List  Type = "list"
	Map   Type = "map"
	Any   Type = "any"
)

// Status says whether a key still does something in LiteLLM.
type Status string

// The states of a key.
const (
	Live       Status = "live"
	Deprecated Status = "deprecated" // works, but another name is preferred: Key.Instead
	Dead       Status = "dead"       // accepted and without effect
	Internal   Status = "internal"   // set by the server itself, not for the file
)

// Key is one configuration key in one section.
type Key struct {
	Section string
	Name    string
	Type    Type
	// Env is true where a reference to an environment variable (os.environ/NAME)
	// is customary: credentials, hosts, URLs.
	Env      bool
	Default  string   // as one writes it in YAML, or the variable it falls back to; empty for null
	Values   []string // the closed or open list of known words for Enum and List keys
	Status   Status
	Instead  string // what to write now, for deprecated and dead keys
	Priority int    // 1 production operators need it, 2 most users expect it, 3 long tail
	// Implemented is true when this build acts on the key: data/implemented.txt
	// lists it.
	Implemented bool
	// Needless says why the key needs no action in llmgw, for those of
	// data/needless.tsv: what it asks for is so anyway, or concerns Python alone.
	Needless string
	// Listed is true when the key has a meaning written down here; false for
	// names known only because the emulated release accepts them.
	Listed bool
	Doc    string
}

// Path is the key as a reader would write it: section.name.
func (k Key) Path() string {
	if k.Section == SectionTop {
		return k.Name
	}
	return k.Section + "." + k.Name
}

//go:embed data/keys.tsv
var keysTSV string

type keyID struct{ section, name string }

type keyTable struct {
	all    []Key
	byID   map[keyID]int
	owners map[string][]string
}

var keys = sync.OnceValue(func() *keyTable {
	t := &keyTable{byID: map[keyID]int{}, owners: map[string][]string{}}
	done, needless := implementedKeys(), needlessKeys()
	table("keys.tsv", keysTSV, func(r row) {
		k := Key{
			Section:  strings.TrimSuffix(r.cells[r.cols["section"]], "-"),
			Name:     r.str("name"),
			Type:     Type(r.str("type")),
			Default:  r.str("default"),
			Values:   r.list("values"),
			Status:   Status(r.str("status")),
			Instead:  r.str("instead"),
			Priority: r.num("prio"),
			Doc:      r.str("doc"),
		}
		if base, env := strings.CutSuffix(string(k.Type), "+env"); env {
			k.Type, k.Env = Type(base), true
		}
		k.Listed = k.Doc != ""
		id := keyID{k.Section, k.Name}
		if _, dup := t.byID[id]; dup {
			r.fail("%s is listed twice", k.Path())
		}
		k.Implemented = done[id]
		delete(done, id)
		k.Needless = needless[id]
		delete(needless, id)
		if k.Implemented && k.Needless != "" {
			r.fail("%s is in implemented.txt and in needless.tsv", k.Path())
		}
		t.byID[id] = len(t.all)
		t.all = append(t.all, k)
		if k.Status == Live || k.Status == Deprecated {
			t.owners[k.Name] = append(t.owners[k.Name], k.Section)
		}
	})
	for id := range done {
		panic("litellm: data/implemented.txt names " + id.section + "." + id.name + ", which data/keys.tsv does not know")
	}
	for id := range needless {
		panic("litellm: data/needless.tsv names " + id.section + "." + id.name + ", which data/keys.tsv does not know")
	}
	return t
})

// SectionKeys returns the keys of one section in table order.
func SectionKeys(section string) []Key {
	var list []Key
	for _, k := range keys().all {
		if k.Section == section {
			list = append(list, k)
		}
	}
	return list
}

// LookupKey finds a key by its section and exact name.
func LookupKey(section, name string) (Key, bool) {
	t := keys()
	i, ok := t.byID[keyID{section, name}]
	if !ok {
		return Key{}, false
	}
	return t.all[i], true
}

// OwnerOf returns the sections in which a name is at home and has an effect.
func OwnerOf(name string) []string { return slices.Clone(keys().owners[name]) }

// Keys returns every known key, sorted by section as data/keys.tsv orders them.
// The slice is the caller's; the keys' Values are shared and must not be
// changed.
func Keys() []Key { return slices.Clone(keys().all) }

// Is reports whether values of the type may have shape one.
func (t Type) Is(one Type) bool {
	for part := range strings.SplitSeq(string(t), "|") {
		if part == string(one) || part == string(Any) {
			return true
		}
	}
	return false
}
