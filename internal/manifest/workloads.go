package manifest

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// Workloads reads every object with a pod template and joins what the other
// objects say about it: the scaler that targets it, the Services, Ingresses
// and disruption budgets that select it, the ConfigMaps and Secrets behind its
// environment. The findings name fields whose type is wrong.
func Workloads(objects []*Object) ([]*Workload, []finding.Finding) {
	r := &reader{}
	set := setOf(objects)
	var out []*Workload
	for _, o := range objects {
		w := r.workload(o)
		if w == nil {
			continue
		}
		for _, c := range slices.Concat(w.Containers, w.Init) {
			node := containerNode(o, w, c)
			r.environment(c, node, set, o.Namespace)
		}
		markGateway(w)
		out = append(out, w)
	}
	index := indexOf(objects)
	for _, w := range out {
		r.join(w, index)
	}
	return out, r.findings
}

// objectSet holds objects by kind and name.
type objectSet map[[2]string][]*Object

func setOf(objects []*Object) objectSet {
	out := objectSet{}
	for _, o := range objects {
		name := o.Name
		if o.Kind == "ExternalSecret" { // it is looked for by the Secret it makes
			if target := text(o.Node.Get("spec").Get("target"), "name"); target != "" {
				name = target
			}
		}
		key := [2]string{o.Kind, name}
		out[key] = append(out[key], o)
	}
	return out
}

// find looks an object up by kind and name; a missing namespace on either
// side matches, because manifests often leave it to the deployer.
func (s objectSet) find(kind, namespace, name string) *Object {
	for _, o := range s[[2]string{kind, name}] {
		if sameNamespace(o.Namespace, namespace) {
			return o
		}
	}
	return nil
}

func sameNamespace(a, b string) bool { return a == b || a == "" || b == "" }

// containerNode finds the node that a container was read from.
func containerNode(o *Object, w *Workload, c *Container) *config.Node {
	pod := o.Node.Lookup(templates[w.Kind]).Get("spec")
	list := pod.Get("containers")
	if c.Init {
		list = pod.Get("initContainers")
	}
	for _, n := range list.Items() {
		if n.Pos == c.Pos {
			return n
		}
	}
	return nil
}

// environment fills Env and EnvFrom: env beats envFrom, a later entry beats an
// earlier one, $(NAME) is expanded once with what was defined before it.
func (r *reader) environment(c *Container, n *config.Node, set objectSet, namespace string) {
	order := []string{}
	vars := map[string]EnvVar{}
	put := func(v EnvVar) {
		if _, seen := vars[v.Name]; !seen {
			order = append(order, v.Name)
		}
		vars[v.Name] = v
	}
	for _, from := range n.Get("envFrom").Items() {
		f := EnvFrom{Prefix: text(from, "prefix"), Pos: firstPos(from.At(0), from)}
		ref := from.Get("configMapRef")
		f.Kind = "ConfigMap"
		if ref == nil {
			ref, f.Kind = from.Get("secretRef"), "Secret"
		}
		f.Name = text(ref, "name")
		optional, _ := ref.Get("optional").Bool()
		f.Optional = optional
		values, ok := set.values(f.Kind, namespace, f.Name)
		f.Resolved = ok
		for _, v := range values {
			v.Name = f.Prefix + v.Name
			v.From = strings.ToLower(f.Kind[:1]) + f.Kind[1:] + "Ref " + f.Name
			put(v)
		}
		c.EnvFrom = append(c.EnvFrom, f)
	}
	for _, e := range n.Get("env").Items() {
		name := text(e, "name")
		if name == "" {
			r.bad(e, "an entry with a name")
			continue
		}
		v := EnvVar{Name: name, Known: true, From: "value", Pos: firstPos(e.Get("name"), e)}
		if n := e.Get("name"); n.Pos.Line == v.Pos.Line && n.Pos.End > v.Pos.End {
			v.Pos.End = n.Pos.End
		}
		v.ValPos = v.Pos
		if from := e.Get("valueFrom"); from != nil {
			v.Known, v.ValPos = false, firstPos(from)
			kind := from.At(0)
			if kind != nil {
				v.From = strings.TrimSpace(kind.Key + " " + text(kind, "name") + pathSuffix(kind))
			}
			if o := set.find(map[string]string{"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}[keyOf(kind)], namespace, text(kind, "name")); o != nil {
				for _, known := range o.data() {
					if known.Name == text(kind, "key") {
						v.Value, v.Known, v.ValPos = known.Value, known.Known, known.ValPos
						if known.Known {
							v.Pos = known.Pos
						}
					}
				}
			}
		} else if val := e.Get("value"); val != nil {
			s, ok := val.Scalar()
			if !ok && !val.IsNull() {
				r.bad(val, "a text")
			} else if val.Kind != config.String && !val.IsNull() {
				r.findings = append(r.findings, finding.Finding{
					ID: "CFG006", Severity: finding.Error, Pos: val.Where(), Path: val.Path(),
					Message: "the value of " + name + " is " + val.Kind.String() + ", not a text",
					Why:     "Kubernetes refuses the object: environment values are texts.",
					Fix:     "put the value in quotes.",
				})
			}
			v.Value, v.ValPos = s, val.Pos
			v.Value, v.Known = expand(s, vars)
		}
		put(v)
	}
	for _, name := range order {
		c.Env = append(c.Env, vars[name])
	}
}

func keyOf(n *config.Node) string {
	if n == nil {
		return ""
	}
	return n.Key
}

func pathSuffix(n *config.Node) string {
	if k := text(n, "key"); k != "" {
		return "/" + k
	}
	return text(n, "fieldPath")
}

// expand replaces $(NAME) by variables defined before; $$ stands for $. An
// unknown variable makes the result unknown; an undefined one stays as text.
func expand(s string, vars map[string]EnvVar) (string, bool) {
	if !strings.Contains(s, "$") {
		return s, true
	}
	var b strings.Builder
	known := true
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 >= len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			v, ok := vars[s[i+2:i+end]]
			if !ok {
				b.WriteString(s[i : i+end+1])
			} else {
				known = known && v.Known
				b.WriteString(v.Value)
			}
			i += end
		default:
			b.WriteByte('$')
		}
	}
	return b.String(), known
}

// values are the variables an envFrom source gives. ok is false when the
// object is not among the inputs or does not list its keys.
func (s objectSet) values(kind, namespace, name string) ([]EnvVar, bool) {
	if o := s.find(kind, namespace, name); o != nil {
		return o.data(), true
	}
	if kind != "Secret" {
		return nil, false
	}
	if o := s.find("SealedSecret", namespace, name); o != nil {
		var out []EnvVar
		for _, n := range o.Node.Lookup("spec.encryptedData").Items() {
			out = append(out, EnvVar{Name: n.Key, Pos: n.Where(), ValPos: n.Pos})
		}
		return out, true
	}
	if o := s.find("ExternalSecret", namespace, name); o != nil {
		spec := o.Node.Get("spec")
		var out []EnvVar
		for _, n := range spec.Get("data").Items() {
			key := n.Get("secretKey")
			if k, _ := key.Scalar(); k != "" {
				out = append(out, EnvVar{Name: k, Pos: key.Where(), ValPos: key.Pos})
			}
		}
		// dataFrom copies keys that only the store knows.
		return out, spec.Get("dataFrom").Len() == 0
	}
	return nil, false
}

// data reads a ConfigMap's or Secret's entries.
func (o *Object) data() []EnvVar {
	var out []EnvVar
	for _, n := range o.Node.Get("data").Items() {
		s, _ := n.Scalar()
		v := EnvVar{Name: n.Key, Value: s, Known: true, Pos: n.Where(), ValPos: n.Pos}
		if o.Kind == "Secret" {
			raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
			v.Value, v.Known = string(raw), err == nil
		}
		out = append(out, v)
	}
	for _, n := range o.Node.Get("stringData").Items() {
		s, _ := n.Scalar()
		out = append(out, EnvVar{Name: n.Key, Value: s, Known: true, Pos: n.Where(), ValPos: n.Pos})
	}
	return out
}

// markGateway finds the container that runs the gateway: by image, by name,
// by command line, by variables, the strongest sign first. Only containers
// with the strongest sign found count, so that a sidecar which shares
// LITELLM_ variables is not taken for a second gateway.
func markGateway(w *Workload) {
	for _, group := range [][]*Container{w.Containers, w.Init} {
		best := 0
		signs := make([]int, len(group))
		for i, c := range group {
			signs[i] = gatewaySign(c)
			best = max(best, signs[i])
		}
		for i, c := range group {
			if best == 0 || signs[i] != best {
				continue
			}
			c.Gateway, c.Target = true, "litellm"
			if strings.Contains(c.Image.Ref, "llmgw") || commandContains(c, "llmgw") || c.Name.Value == "llmgw" && !strings.Contains(c.Image.Ref, "litellm") {
				c.Target = "llmgw"
			}
		}
	}
}

func gatewaySign(c *Container) int {
	image := strings.ToLower(c.Image.Ref)
	switch {
	case strings.Contains(image, "litellm"), strings.Contains(image, "llmgw"):
		return 4
	case c.Name.Value == "litellm", c.Name.Value == "llmgw":
		return 3
	case commandContains(c, "litellm"), commandContains(c, "llmgw"), commandContains(c, "proxy_server_config.yaml"),
		hasFlag(c, "num_workers") && hasFlag(c, "config"):
		return 2
	}
	for _, v := range c.Env {
		if strings.HasPrefix(v.Name, "LITELLM_") {
			return 1
		}
	}
	return 0
}

func commandContains(c *Container, word string) bool {
	return slices.ContainsFunc(c.Words(), func(a Arg) bool { return strings.Contains(a.Text, word) })
}

func hasFlag(c *Container, name string) bool {
	return slices.ContainsFunc(c.Words(), func(a Arg) bool {
		flag, _, _ := strings.Cut(a.Text, "=")
		return strings.HasPrefix(flag, "--") && strings.ReplaceAll(flag[2:], "-", "_") == name
	})
}

// Migrates reports whether a container of a Job or an init container brings
// the database schema up to date.
func (c *Container) Migrates(owner string) bool {
	line := ""
	for _, a := range c.Words() {
		line += a.Text + " "
	}
	normal := strings.ReplaceAll(line, "-", "_")
	switch {
	case strings.Contains(line, "prisma_migration.py"), strings.Contains(line, "migrate deploy"),
		strings.Contains(c.Image.Ref, "litellm-migrations"):
		return true
	case c.Gateway:
		return strings.Contains(normal, "migrat") || strings.Contains(normal, "__skip_server_startup") ||
			strings.Contains(owner, "migrat") || strings.Contains(c.Name.Value, "migrat")
	}
	return false
}

// Migration is the container of a Job that migrates, or nil.
func (w *Workload) Migration() *Container {
	if w.Kind != "Job" && w.Kind != "CronJob" {
		return nil
	}
	for _, c := range w.Containers {
		if c.Migrates(w.Name) {
			return c
		}
	}
	return nil
}

// objectIndex finds what may refer to a workload without looking at every
// object for each one.
type objectIndex struct {
	order     map[*Object]int
	scalers   map[string][]*Object // by the name they target
	selectors map[string][]*Object // by one label they ask for, as key=value
	anyLabel  []*Object            // selectors without such a label
	routes    map[string][]*Object // by the Service they lead to
}

func indexOf(objects []*Object) *objectIndex {
	x := &objectIndex{order: map[*Object]int{}, scalers: map[string][]*Object{}, selectors: map[string][]*Object{}, routes: map[string][]*Object{}}
	for i, o := range objects {
		x.order[o] = i
		spec := o.Node.Get("spec")
		switch o.Kind {
		case "HorizontalPodAutoscaler", "ScaledObject":
			name := text(spec.Get("scaleTargetRef"), "name")
			x.scalers[name] = append(x.scalers[name], o)
		case "PodDisruptionBudget":
			x.selector(o, spec.Get("selector").Get("matchLabels"))
		case "Service":
			x.selector(o, spec.Get("selector"))
		case "Ingress", "HTTPRoute":
			for _, name := range backends(o) {
				if list := x.routes[name]; len(list) == 0 || list[len(list)-1] != o {
					x.routes[name] = append(x.routes[name], o)
				}
			}
		}
	}
	return x
}

func (x *objectIndex) selector(o *Object, labels *config.Node) {
	for _, n := range labels.Items() {
		want, _ := n.Scalar()
		x.selectors[n.Key+"="+want] = append(x.selectors[n.Key+"="+want], o)
		return
	}
	x.anyLabel = append(x.anyLabel, o)
}

// candidates are the objects whose selector may match, in their order.
func (x *objectIndex) candidates(labels map[string]string) []*Object {
	out := slices.Clone(x.anyLabel)
	for k, v := range labels {
		out = append(out, x.selectors[k+"="+v]...)
	}
	slices.SortFunc(out, func(a, b *Object) int { return x.order[a] - x.order[b] })
	return out
}

// join attaches the objects that refer to a workload.
func (r *reader) join(w *Workload, x *objectIndex) {
	for _, o := range x.scalers[w.Name] {
		kind := text(o.Node.Get("spec").Get("scaleTargetRef"), "kind")
		if (kind == w.Kind || kind == "" && w.Kind == "Deployment") && sameNamespace(o.Namespace, w.Namespace) {
			w.Scaler = r.scaler(o)
		}
	}
	for _, o := range x.candidates(w.PodLabels) {
		if !sameNamespace(o.Namespace, w.Namespace) {
			continue
		}
		spec := o.Node.Get("spec")
		switch o.Kind {
		case "PodDisruptionBudget":
			if Selects(spec.Get("selector"), w.PodLabels) {
				w.Budgets = append(w.Budgets, o)
			}
		case "Service":
			if sel := spec.Get("selector"); sel.Len() > 0 && selected(sel, w.PodLabels) {
				w.Services = append(w.Services, o)
			}
		}
	}
	for _, s := range w.Services {
		for _, o := range x.routes[s.Name] {
			if sameNamespace(o.Namespace, w.Namespace) && !slices.Contains(w.Ingresses, o) {
				w.Ingresses = append(w.Ingresses, o)
			}
		}
	}
	slices.SortFunc(w.Ingresses, func(a, b *Object) int { return x.order[a] - x.order[b] })
}

// backends are the Service names an Ingress or HTTPRoute sends traffic to.
func backends(o *Object) []string {
	var out []string
	for n := range o.Node.Get("spec").Walk() {
		switch n.Key {
		case "service": // networking.k8s.io/v1
			out = append(out, text(n, "name"))
		case "serviceName": // older Ingress
			s, _ := n.Scalar()
			out = append(out, s)
		case "backendRefs":
			for _, b := range n.Items() {
				if k := text(b, "kind"); k == "" || k == "Service" {
					out = append(out, text(b, "name"))
				}
			}
		}
	}
	return out
}

// selected reports whether labels carry every entry of a selector.
func selected(sel *config.Node, labels map[string]string) bool {
	for _, n := range sel.Items() {
		want, _ := n.Scalar()
		if have, ok := labels[n.Key]; !ok || have != want {
			return false
		}
	}
	return true
}

// Selects evaluates a label selector. An empty selector selects everything, an
// absent one nothing.
func Selects(sel *config.Node, labels map[string]string) bool {
	if sel == nil || sel.Kind != config.Map {
		return false
	}
	if !selected(sel.Get("matchLabels"), labels) {
		return false
	}
	for _, e := range sel.Get("matchExpressions").Items() {
		value, has := labels[text(e, "key")]
		in := slices.ContainsFunc(e.Get("values").Items(), func(n *config.Node) bool {
			s, _ := n.Scalar()
			return s == value
		})
		ok := true
		switch text(e, "operator") {
		case "In":
			ok = has && in
		case "NotIn":
			ok = !has || !in
		case "Exists":
			ok = has
		case "DoesNotExist":
			ok = !has
		}
		if !ok {
			return false
		}
	}
	return true
}

func (r *reader) scaler(o *Object) *Scaler {
	spec := o.Node.Get("spec")
	s := &Scaler{Object: o, Kind: o.Kind, MetricsPos: firstPos(spec.Get("metrics"), spec.Get("triggers"), spec)}
	if o.Kind == "ScaledObject" {
		s.Min, s.Max = r.int(spec.Get("minReplicaCount")), r.int(spec.Get("maxReplicaCount"))
		for _, t := range spec.Get("triggers").Items() {
			if kind := text(t, "type"); kind == "cpu" || kind == "memory" {
				v := t.Get("metadata").Get("value")
				m := Metric{Resource: kind, Pos: firstPos(v, t)}
				// KEDA's metadata are texts.
				if target, ok := v.Int(); ok && target >= 0 && target < 1<<31 {
					m.Target = Int{Value: int(target), Set: true, Pos: v.Where()}
				}
				s.Metrics = append(s.Metrics, m)
			}
		}
		return s
	}
	s.Min, s.Max = r.int(spec.Get("minReplicas")), r.int(spec.Get("maxReplicas"))
	if v := spec.Get("targetCPUUtilizationPercentage"); v != nil { // autoscaling/v1
		s.Metrics = append(s.Metrics, Metric{Resource: "cpu", Target: r.int(v), Pos: v.Where()})
	}
	for _, m := range spec.Get("metrics").Items() {
		for _, kind := range []string{"resource", "containerResource"} {
			res := m.Get(kind)
			if res == nil {
				continue
			}
			v := res.Get("target").Get("averageUtilization")
			s.Metrics = append(s.Metrics, Metric{Resource: text(res, "name"), Target: r.int(v), Pos: firstPos(v, res)})
		}
	}
	return s
}
