package render

import "io/fs"

// Engine renders a chart. It is an interface so that the one package that
// knows Helm can be replaced without touching anything else.
type Engine interface {
	// Override lays values files, then single settings, over values and
	// returns the result; values itself is not changed.
	Override(values map[string]any, over Overrides) (map[string]any, error)
	// Render checks the values against the chart's schema and returns the
	// text of each template by its path.
	Render(chart fs.FS, release Release, values map[string]any) (map[string]string, error)
}

// Release is what a chart learns about the place it is rendered for.
type Release struct {
	Name      string
	Namespace string
	// Service is the value of app.kubernetes.io/managed-by.
	Service string
	// KubeVersion is MAJOR.MINOR.
	KubeVersion string
}

// Overrides are the user's last word, in Helm's own syntax.
type Overrides struct {
	Files     []ValuesFile // -f
	JSON      []string     // --set-json
	Set       []string     // --set
	SetString []string     // --set-string
}

// ValuesFile is one -f file.
type ValuesFile struct {
	Name string
	Data []byte
}

func (o Overrides) empty() bool {
	return len(o.Files)+len(o.JSON)+len(o.Set)+len(o.SetString) == 0
}
