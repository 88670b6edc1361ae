package render

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

// pod is one pod template of the result.
type pod struct {
	owner      *Object
	labels     map[string]any
	spec       map[string]any
	containers []map[string]any // init containers first
}

// checker holds the parsed result while its rules are checked. They are
// checked on what was rendered, after every override, because that is what
// will run.
type checker struct {
	p       *plan
	objects []Object
	pods    []pod
	gateway *pod
	job     *pod
	found   []finding.Finding
}

func (c *checker) breaks(rule, format string, args ...any) {
	c.found = append(c.found, finding.Finding{ID: "E-RULE-" + rule, Severity: finding.Error, Message: fmt.Sprintf(format, args...)})
}

// validate checks the rules that every rendered deployment keeps.
func (p *plan) validate(objects []Object) []finding.Finding {
	c := &checker{p: p, objects: objects}
	for i := range objects {
		o := &objects[i]
		if o.Kind != "Deployment" && o.Kind != "Job" {
			continue
		}
		template := lookup(o.body, "spec", "template")
		pd := pod{owner: o, labels: mapping(lookup(template, "metadata", "labels")), spec: mapping(lookup(template, "spec"))}
		for _, key := range []string{"initContainers", "containers"} {
			for _, v := range items(pd.spec[key]) {
				pd.containers = append(pd.containers, mapping(v))
			}
		}
		c.pods = append(c.pods, pd)
	}
	for i := range c.pods {
		if c.pods[i].owner.Kind == "Job" {
			c.job = &c.pods[i]
		} else {
			c.gateway = &c.pods[i]
		}
	}
	if c.gateway == nil {
		c.breaks("PODS", "no Deployment was rendered")
		return c.found
	}
	c.selectors()
	c.graceLeft()
	c.budget()
	c.replicas()
	c.hooks()
	c.references()
	for i := range c.pods {
		c.pod(&c.pods[i])
	}
	for _, o := range objects {
		c.noEmpty(o.Kind+"/"+o.Name, o.body)
	}
	return c.found
}

func mapping(v any) map[string]any { m, _ := v.(map[string]any); return m }
func items(v any) []any            { l, _ := v.([]any); return l }
func text(v any) string            { s, _ := v.(string); return s }

// number reads an integer field; missing is 0.
func number(v any) int {
	switch n := v.(type) {
	case int:
		return n
	case float64:
		return int(n)
	}
	return 0
}

func amount(v any) (float64, bool) { return manifest.ParseQuantity(fmt.Sprint(v)) }

func matches(selector, labels map[string]any) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// selectors: each one takes the gateway's pods and never a migration's.
func (c *checker) selectors() {
	check := func(what string, selector any) {
		s := mapping(selector)
		if !matches(s, c.gateway.labels) {
			c.breaks("SELECTOR", "%s does not select the gateway's pods", what)
		}
		if c.job != nil && matches(s, c.job.labels) {
			c.breaks("SELECTOR", "%s selects the pods of %s too", what, c.job.owner.Name)
		}
	}
	for _, o := range c.objects {
		switch o.Kind {
		case "Deployment":
			check("Deployment/"+o.Name, lookup(o.body, "spec", "selector", "matchLabels"))
		case "Service":
			check("Service/"+o.Name, lookup(o.body, "spec", "selector"))
		case "PodDisruptionBudget":
			check("PodDisruptionBudget/"+o.Name, lookup(o.body, "spec", "selector", "matchLabels"))
		}
	}
	for _, t := range items(c.gateway.spec["topologySpreadConstraints"]) {
		check("topologySpreadConstraints", lookup(t, "labelSelector", "matchLabels"))
	}
}

// graceLeft: a pod has time for its longest request.
func (c *checker) graceLeft() {
	grace := number(c.gateway.spec["terminationGracePeriodSeconds"])
	g := c.container("gateway")
	preStop := number(lookup(g, "lifecycle", "preStop", "sleep", "seconds"))
	if command := items(lookup(g, "lifecycle", "preStop", "exec", "command")); len(command) > 0 {
		words := strings.Fields(text(command[len(command)-1]))
		if len(words) > 0 {
			_, _ = fmt.Sscanf(words[len(words)-1], "%d", &preStop)
		}
	}
	need := c.p.request.Ceil() + preStop + facts.GraceSlack
	if grace < need {
		c.breaks("GRACE", "terminationGracePeriodSeconds %d is below %d preStop + %d request_timeout + %d", grace, preStop, c.p.request.Ceil(), facts.GraceSlack)
	}
	if c.p.target == facts.LiteLLM {
		var drain int
		_, _ = fmt.Sscanf(text(env(g, "GRACEFUL_SHUTDOWN_TIMEOUT")["value"]), "%d", &drain)
		if drain < c.p.request.Ceil() {
			c.breaks("GRACE", "GRACEFUL_SHUTDOWN_TIMEOUT %d is below request_timeout %d", drain, c.p.request.Ceil())
		}
	}
}

// budget: what may run at once stays within the connections there are.
func (c *checker) budget() {
	in := c.p.pool.In
	if in.Ceiling.Kind == facts.NoCeiling {
		return
	}
	most := number(c.object("Deployment")["replicas"])
	if hpa := c.object("HorizontalPodAutoscaler"); hpa != nil {
		most = number(hpa["maxReplicas"])
	}
	in.Instances.Value = most
	if surge := lookup(c.object("Deployment"), "strategy", "rollingUpdate", "maxSurge"); surge != nil {
		in.Surge.Count = number(surge)
	}
	if r := facts.Pool(in); r.Verdict == facts.Exceeds {
		c.breaks("DB", "%s", r.ComparisonLine())
	}
}

func (c *checker) replicas() {
	hpa, deployment := c.object("HorizontalPodAutoscaler"), c.object("Deployment")
	_, stated := deployment["replicas"]
	least := number(deployment["replicas"])
	if hpa != nil {
		least = number(hpa["minReplicas"])
		if stated {
			c.breaks("REPLICAS", "the Deployment states replicas though an autoscaler sets them")
		}
	}
	if least < 2 && !c.p.o.AllowSingle {
		c.breaks("REPLICAS", "%d replica is an outage at every node drain (--allow-single)", least)
	}
}

// hooks: one family of hook annotations, and what the Job needs comes first.
func (c *checker) hooks() {
	hook := func(o *Object) (helm, argo bool) {
		for k := range mapping(lookup(o.body, "metadata", "annotations")) {
			helm = helm || strings.HasPrefix(k, "helm.sh/hook")
			argo = argo || strings.HasPrefix(k, "argocd.argoproj.io/")
		}
		return helm, argo
	}
	for i := range c.objects {
		if helm, argo := hook(&c.objects[i]); helm && argo {
			c.breaks("HOOK", "%s/%s carries hooks of Helm and of Argo CD: Argo CD then ignores Helm's", c.objects[i].Kind, c.objects[i].Name)
		}
	}
	if c.job == nil {
		return
	}
	helm, argo := hook(c.job.owner)
	if !helm && !argo {
		return
	}
	needed := []string{text(c.job.spec["serviceAccountName"])}
	for i := range c.objects {
		o := &c.objects[i]
		secret := o.Kind == "ExternalSecret" || o.Kind == "Secret"
		if !secret && (o.Kind != "ServiceAccount" || !slices.Contains(needed, o.Name)) {
			continue
		}
		if h, a := hook(o); h != helm || a != argo {
			c.breaks("HOOK", "the migration runs before %s/%s, which it needs, exists", o.Kind, o.Name)
		}
	}
}

// references: every variable that the configuration refers to is there.
func (c *checker) references() {
	g := c.container("gateway")
	for _, o := range c.objects {
		if o.Kind != "ConfigMap" {
			continue
		}
		data := mapping(o.body["data"])
		for _, name := range slices.Sorted(maps.Keys(data)) {
			root, _, err := config.ParseYAML(name, []byte(text(data[name])))
			if err != nil {
				c.breaks("CONFIG", "%s in the ConfigMap is not YAML: %s", name, err)
				continue
			}
			for n := range root.Walk() {
				if ref := reference(n); ref != "" && env(g, ref) == nil && root.Lookup("environment_variables."+ref) == nil {
					c.breaks("CONFIG", "%s refers to %s, which the pods do not have", n.Path(), ref)
				}
				if isSecret(n) && !c.p.o.AllowPlaintext {
					c.breaks("CONFIG", "%s is a credential in plain text", n.Path())
				}
			}
		}
	}
}

// container finds a container of the gateway's pods.
func (c *checker) container(name string) map[string]any {
	for _, ct := range c.gateway.containers {
		if ct["name"] == name {
			return ct
		}
	}
	return nil
}

// object is the spec of the object of a kind.
func (c *checker) object(kind string) map[string]any {
	for _, o := range c.objects {
		if o.Kind == kind {
			return mapping(o.body["spec"])
		}
	}
	return nil
}

// env is the entry of a variable; nil when there is none.
func env(container map[string]any, name string) map[string]any {
	for _, e := range items(container["env"]) {
		if m := mapping(e); m["name"] == name {
			return m
		}
	}
	return nil
}

// noEmpty: an empty value is a field that was meant to hold something.
func (c *checker) noEmpty(path string, v any) {
	switch v := v.(type) {
	case nil:
		c.breaks("EMPTY", "%s is null", path)
	case map[string]any:
		if len(v) == 0 {
			c.breaks("EMPTY", "%s is empty", path)
		}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			c.noEmpty(path+"."+k, v[k])
		}
	case []any:
		if len(v) == 0 {
			c.breaks("EMPTY", "%s is empty", path)
		}
		for i, item := range v {
			c.noEmpty(fmt.Sprintf("%s[%d]", path, i), item)
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			c.breaks("EMPTY", "%s is not a number", path)
		}
	}
}
