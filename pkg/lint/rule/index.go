package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/manifest"
)

// index is what rules look for in the inputs as a whole, found in one pass:
// a rule that walked all objects for every unit would make a thousand files
// cost a million steps.
type index struct {
	built      bool
	objects    map[string][]*manifest.Object // by kind
	files      map[string][]*manifest.Object
	named      map[[2]string][]*manifest.Object
	migrations []*manifest.Workload // those that migrate and end
	// the same by every directory they lie below
	migrationsIn map[string][]*manifest.Workload
	redis        []*manifest.Container
	postgresMax  facts.Int
	labelled     map[string][]*manifest.Workload // by one label of their pods, as key=value
	keys         map[string]*Unit                // the first that knows a variable, by its name
}

func (m *Model) index() *index {
	x := &m.lookup
	if x.built {
		return x
	}
	*x = index{built: true, files: map[string][]*manifest.Object{}, migrationsIn: map[string][]*manifest.Workload{}, objects: map[string][]*manifest.Object{}, named: map[[2]string][]*manifest.Object{}, labelled: map[string][]*manifest.Workload{}}
	for _, o := range m.Objects {
		x.objects[o.Kind] = append(x.objects[o.Kind], o)
		x.files[o.File] = append(x.files[o.File], o)
		key := [2]string{o.Kind, o.Name}
		x.named[key] = append(x.named[key], o)
	}
	for _, w := range m.Workloads {
		if w.Migration() != nil {
			x.migrations = append(x.migrations, w)
			for dir := range upwards(w.Object.File) {
				x.migrationsIn[dir] = append(x.migrationsIn[dir], w)
			}
		}
		for k, v := range w.PodLabels {
			x.labelled[k+"="+v] = append(x.labelled[k+"="+v], w)
		}
		for _, c := range w.Containers {
			switch base := c.Image.Base(); {
			case base == "redis":
				x.redis = append(x.redis, c)
			case strings.Contains(base, "postgres") && !x.postgresMax.IsSet():
				for _, word := range c.Words() {
					if _, value, ok := strings.Cut(word.Text, "max_connections="); ok {
						if n, ok := atoi(value); ok {
							x.postgresMax = facts.NewInt(n, "max_connections, "+w.Object.String(), word.Pos)
						}
					}
				}
			}
		}
	}
	return x
}

// ObjectsOf are the objects of a file, in its order.
func (m *Model) ObjectsOf(file string) []*manifest.Object { return m.index().files[file] }

// objects are the objects of some kinds, kind by kind.
func (u *Unit) objects(kinds ...string) []*manifest.Object {
	var out []*manifest.Object
	for _, k := range kinds {
		out = append(out, u.Model.index().objects[k]...)
	}
	return out
}

// first reports whether the unit speaks for the inputs as a whole, so that what
// concerns no single unit is looked at once.
func (u *Unit) first() bool { return u == u.Model.Units[0] }

// holder is the first unit that holds a variable in plain sight, or nil.
func (m *Model) holder(name string) *Unit {
	x := m.index()
	if u, ok := x.keys[name]; ok {
		return u
	}
	if x.keys == nil {
		x.keys = map[string]*Unit{}
	}
	x.keys[name] = nil
	for _, u := range m.Units {
		if v, ok := u.Container.LookupEnv(name); ok && v.Known {
			x.keys[name] = u
			break
		}
	}
	return x.keys[name]
}

// sameLabel are the workloads whose pods carry one of a selector's labels.
func (u *Unit) sameLabel(selector map[string]string) []*manifest.Workload {
	var out []*manifest.Workload
	for k, v := range selector {
		if list := u.Model.index().labelled[k+"="+v]; out == nil || len(list) < len(out) {
			out = list
		}
	}
	return out
}
