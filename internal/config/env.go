package config

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

// Var is one environment variable with the place it was set at. Its value may
// be a secret: print names, never values.
type Var struct {
	Name  string
	Value string
	// Known is false when the variable is certain to be there but its value
	// cannot be known here, such as one from a Kubernetes secret.
	Known bool
	// Source says in words where it is set: "environment", ".env",
	// "environment_variables", "deployment env".
	Source string
	Pos    finding.Position // of the name
	// ValuePos spans the value as written in a file, quotes included.
	ValuePos finding.Position
}

// Env is an environment: variables with provenance, and whether anything else
// may be set besides them. The zero value is an open, empty environment.
type Env struct {
	vars   map[string]Var
	closed bool
}

// NewEnv returns an empty environment. A closed environment is known in full: a
// name that it does not hold is not set.
func NewEnv(closed bool) *Env { return &Env{vars: map[string]Var{}, closed: closed} }

// ProcessEnv is the closed environment of a process, from os.Environ().
func ProcessEnv(environ []string) *Env {
	e := NewEnv(true)
	for _, line := range environ {
		// Windows has names that begin with '='; they are of no use here.
		if name, value, ok := strings.Cut(line, "="); ok && name != "" {
			e.Set(Var{Name: name, Value: value, Known: true, Source: "environment",
				Pos: finding.Position{File: "<env>"}})
		}
	}
	return e
}

// Set adds or replaces a variable.
func (e *Env) Set(v Var) {
	if e.vars == nil {
		e.vars = map[string]Var{}
	}
	e.vars[v.Name] = v
}

// Lookup returns the variable and whether it is set.
func (e *Env) Lookup(name string) (Var, bool) {
	if e == nil {
		return Var{}, false
	}
	v, ok := e.vars[name]
	return v, ok
}

// Get returns the value of a variable, empty when it is not set or unknown.
func (e *Env) Get(name string) string {
	v, _ := e.Lookup(name)
	return v.Value
}

// Has reports whether the variable is set, with a known value or not.
func (e *Env) Has(name string) bool {
	_, ok := e.Lookup(name)
	return ok
}

// Closed reports whether the environment is known in full.
func (e *Env) Closed() bool { return e != nil && e.closed }

// SetClosed says whether the environment is known in full.
func (e *Env) SetClosed(closed bool) { e.closed = closed }

// Names returns the names in order.
func (e *Env) Names() []string {
	if e == nil {
		return nil
	}
	names := make([]string, 0, len(e.vars))
	for name := range e.vars {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Clone returns a copy that can be changed.
func (e *Env) Clone() *Env {
	c := NewEnv(e.Closed())
	if e != nil {
		for _, v := range e.vars {
			c.vars[v.Name] = v
		}
	}
	return c
}
