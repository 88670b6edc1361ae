// Package render turns a gateway's config.yaml into Kubernetes objects: facts,
// then values of the embedded chart, then objects. It prints nothing, asks no
// cluster, and writes only where it is told to.
package render

import (
	"errors"
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/templates"

	_ "embed"
)

//go:embed example.yaml
var example []byte

// Result is a rendered deployment.
type Result struct {
	Target  facts.Target
	Name    string   // base name of the objects
	Objects []Object // in the order in which they can be applied
	// Secret is the Secret with values to replace, when asked for; it never
	// shares a stream with the objects.
	Secret      *Object
	Derivations []Derivation
	// Findings are warnings and remarks; when Render fails, the reasons too.
	Findings []finding.Finding
	// SecretName and SecretKeys say what must be in the cluster first.
	SecretName string
	SecretKeys []string
	// SecretExists is false when the objects themselves make the Secret.
	SecretExists bool
	values       map[string]any // of the chart, overrides included
	version      string
	// Header is the comment at the top of the stream, without comment signs.
	Header []string
}

var (
	// ErrRefused is a mistake in the input; the findings say which.
	ErrRefused = errors.New("nothing was rendered")
	// ErrInvalid is a result that breaks its own rules, because of overrides.
	ErrInvalid = errors.New("the rendered objects are not valid")
)

// Render renders. With an error the result still holds the findings.
func Render(o Options) (*Result, error) {
	p := &plan{o: o, edits: map[string]string{}}
	if p.o.Target == "" {
		p.o.Target = facts.LLMGW
	}
	if p.o.Tree == nil {
		tree, _, err := config.Load(config.Sources{Data: example, File: "example.yaml", KeepReferences: true})
		if err != nil {
			return nil, fmt.Errorf("read the built-in example: %w", err)
		}
		p.o.Tree = tree
		p.info("K-NO-CONFIG", "no configuration is given: the production example is rendered (pass your own with -c)")
	}
	p.facts = facts.From(facts.Flags{Target: p.o.Target, NumWorkers: o.NumWorkers, Ceiling: o.Ceiling}, p.o.Tree, nil)
	p.make()
	res := &Result{Target: p.target, Name: p.name}
	defer func() {
		finding.Sort(p.findings)
		res.Findings = p.findings
	}()
	if p.failed() {
		return res, ErrRefused
	}
	final, err := p.override()
	if err != nil {
		p.fail("E-VALUES", "%s", err)
		return res, ErrRefused
	}
	texts, err := o.Engine.Render(templates.Chart(), Release{Name: p.name, Namespace: o.Namespace, Service: "llmgw", KubeVersion: p.kube.String()}, final)
	if err != nil {
		code, text, coded := strings.Cut(err.Error(), ": ")
		if !coded || !strings.HasPrefix(code, "E-") {
			code, text = "E-VALUES", err.Error()
		}
		p.fail(code, "%s", text)
		return res, ErrRefused
	}
	objects, err := parseObjects(texts)
	if err != nil {
		p.fail("E-RENDER", "%s", err)
		return res, ErrInvalid
	}
	if !o.WithoutValidate {
		p.findings = append(p.findings, p.validate(objects)...)
		if p.failed() {
			return res, ErrInvalid
		}
	}
	res.values, res.version = final, o.Version
	res.fill(p, objects)
	return res, nil
}

func (r *Result) fill(p *plan, objects []Object) {
	for _, o := range objects {
		if o.Kind == "Secret" {
			r.Secret = &o
			continue
		}
		r.Objects = append(r.Objects, o)
	}
	r.Derivations = p.explain.list
	r.SecretKeys = p.SecretKeys()
	r.SecretName, _ = lookup(p.values, "secrets", "name").(string)
	mode, _ := lookup(p.values, "secrets", "mode").(string)
	r.SecretExists = mode == "reference"
	r.Header = []string{
		fmt.Sprintf("llmgw %s, target %s, Kubernetes %s", p.o.Version, p.target, p.kube),
		fmt.Sprintf("grace %d = %d preStop + %d request_timeout + %d margin", p.grace, p.preStop.Value, p.request.Ceil(), p.margin.Value),
	}
	if p.database {
		r.Header = append(r.Header, "database connections "+p.pool.DemandLine())
	}
}

// override lays the user's own values over the derived ones and says which
// derived numbers they replace.
func (p *plan) override() (map[string]any, error) {
	if p.o.Overrides.empty() {
		return p.values, nil
	}
	final, err := p.o.Engine.Override(p.values, p.o.Overrides)
	if err != nil {
		return nil, err
	}
	for _, path := range [][]string{
		{"requestTimeout"}, {"preStopSeconds"}, {"shutdownMargin"}, {"replicas"}, {"autoscaling", "maxReplicas"}, {"workers"},
		{"resources", "cpu"}, {"resources", "memory"}, {"resources", "ephemeralStorage"}, {"goMemLimit"}, {"goMaxProcs"},
		{"config", "files", "config.yaml"}, {"migrations", "mode"}, {"database"}, {"target"}, {"readOnlyRootFilesystem"},
	} {
		was, is := lookup(p.values, path...), lookup(final, path...)
		if fmt.Sprint(was) == fmt.Sprint(is) {
			continue
		}
		if path[0] == "config" {
			p.warn("K-OVERRIDE", "%s is replaced: nothing here is derived from the new text", strings.Join(path, "."))
			continue
		}
		p.warn("K-OVERRIDE", "%s %v, derived here, becomes %v", strings.Join(path, "."), was, is)
	}
	return final, nil
}

// lookup follows keys through mappings.
func lookup(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}
