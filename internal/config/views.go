package config

import (
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
)

// Value is one setting of a typed view: the effective value, and where it came
// from.
type Value[T any] struct {
	V T
	// Node is the value as written; nil when a default or a variable applies.
	Node *Node
	// Origin says where V came from.
	Origin Origin
	// Pos is where to point when talking about the setting: its key, else the
	// section, else line 1.
	Pos finding.Position
	// Path is the full path of the setting, general_settings.master_key.
	Path string
	// Bad says that the written value cannot be read as a T; V is the default.
	Bad bool
}

// Set reports whether the setting has a value other than its default.
func (v Value[T]) Set() bool { return v.Origin.Kind != FromDefault }

// General is the typed view of general_settings. Keys it does not hold are read
// from Node.
type General struct {
	Node      *Node // nil when absent
	MasterKey Value[redact.Secret]
	// DatabaseURL is the written value only; package pgurl knows the variables.
	DatabaseURL Value[redact.Secret]
}

// LiteLLM is the typed view of litellm_settings.
type LiteLLM struct {
	Node           *Node
	RequestTimeout Value[float64] // seconds
}

// Router is the typed view of router_settings, the crossing keys of
// litellm_settings included.
type Router struct {
	Node            *Node
	RoutingStrategy Value[string]
	NumRetries      Value[int]
}

// Model is one entry of model_list.
type Model struct {
	Index  int
	Node   *Node // the entry
	Name   Value[string]
	Params *Node // litellm_params
	Info   *Node // model_info
}

// General returns the typed view of general_settings.
func (t *Tree) General() General { return General{Node: t.Section("general_settings")} }

// LiteLLM returns the typed view of litellm_settings.
func (t *Tree) LiteLLM() LiteLLM { return LiteLLM{Node: t.Section("litellm_settings")} }

// Router returns the typed view of router_settings.
func (t *Tree) Router() Router { return Router{Node: t.Section("router_settings")} }

// Models returns the entries of model_list.
func (t *Tree) Models() []Model {
	var models []Model
	for i, n := range t.Section("model_list").Items() {
		models = append(models, Model{Index: i, Node: n, Params: n.Get("litellm_params"), Info: n.Get("model_info")})
	}
	return models
}
