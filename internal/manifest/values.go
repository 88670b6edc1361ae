package manifest

import (
	"strconv"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// Form says what a workload was read from. Some facts of a workload are
// certain only in one of them.
type Form string

// The forms.
const (
	FromObject  Form = ""        // a Kubernetes object
	FromValues  Form = "values"  // values of LiteLLM's chart, its defaults filled in
	FromCompose Form = "compose" // a service of a compose file
)

// What LiteLLM's chart does where its values are silent.
const (
	chartRepository  = "ghcr.io/berriai/litellm"
	chartGrace       = 90
	chartMaxReplicas = 100
	chartCPU         = 80
)

// Values reads values of LiteLLM's chart (litellm-helm) as the workload and the
// migration Job that the chart makes of them: where the values are silent, the
// chart's default counts, at the first line of the file.
func Values(file string, data []byte, doc *config.Node) ([]*Workload, []finding.Finding) {
	r := &reader{}
	line1 := finding.Position{File: file, Line: 1, Col: 1}
	at := func(n *config.Node) finding.Position {
		if n == nil || n.Where().Line == 0 {
			return line1
		}
		return n.Where()
	}
	o := newObject(file, data, doc)
	o.Kind, o.Name, o.NamePos = "chart values", file, line1
	o.Labels, o.Annotations = nil, nil

	w := &Workload{
		Object: o, Form: FromValues, Kind: "Deployment", Name: file, NamePos: line1, SpecPos: line1, PodSpecPos: line1,
		Grace: r.int(doc.Get("terminationGracePeriodSeconds")), Strategy: r.strategy(doc),
		Spread: doc.Get("topologySpreadConstraints").Len() > 0 || doc.Get("affinity").Get("podAntiAffinity").Len() > 0,
	}
	if !w.Grace.Set {
		w.Grace = Int{Value: chartGrace, Set: true, Pos: line1}
	}
	if w.Strategy.Set && doc.Get("strategy").Len() == 0 {
		w.Strategy = Strategy{}
	}
	scaling := doc.Get("autoscaling")
	if on, _ := scaling.Get("enabled").Bool(); on {
		s := &Scaler{Object: o, Kind: "HorizontalPodAutoscaler", Min: r.int(scaling.Get("minReplicas")), Max: r.int(scaling.Get("maxReplicas")), MetricsPos: at(scaling)}
		if !s.Max.Set {
			s.Max = Int{Value: chartMaxReplicas, Set: true, Pos: at(scaling)}
		}
		cpu := Metric{Resource: "cpu", Target: r.int(scaling.Get("targetCPUUtilizationPercentage"))}
		if !cpu.Target.Set {
			cpu.Target = Int{Value: chartCPU, Set: true, Pos: at(scaling)}
		}
		cpu.Pos = cpu.Target.Pos
		s.Metrics = append(s.Metrics, cpu)
		if m := r.int(scaling.Get("targetMemoryUtilizationPercentage")); m.Set {
			s.Metrics = append(s.Metrics, Metric{Resource: "memory", Target: m, Pos: m.Pos})
		}
		w.Scaler = s
	} else {
		w.Replicas = r.int(doc.Get("replicaCount"))
		if !w.Replicas.Set {
			w.Replicas = Int{Value: 1, Set: true, Pos: line1}
		}
	}

	c := &Container{
		Name: Text{Value: "litellm", Set: true, Pos: line1}, Pos: line1, Gateway: true, Target: "litellm",
		PreStop: r.preStop(doc.Get("lifecycle").Get("preStop")), Resources: r.resources(doc.Get("resources")),
		Readiness: r.probe(doc.Get("readinessProbe")), Liveness: r.probe(doc.Get("livenessProbe")), Startup: r.probe(doc.Get("startupProbe")),
		EnvPos: at(doc.Get("envVars")), ArgsPos: line1,
	}
	c.Security = r.securityOf(doc.Get("securityContext"), doc.Get("podSecurityContext"), nil)
	c.Image = r.chartImage(doc.Get("image"))
	c.Args = []Arg{{Text: "--config", Pos: line1}, {Text: "/etc/litellm/config.yaml", Pos: line1}}
	if n := r.int(doc.Get("numWorkers")); n.Set {
		c.ArgsPos = n.Pos
		c.Args = append(c.Args, Arg{Text: "--num_workers", Pos: n.Pos}, Arg{Text: strconv.Itoa(n.Value), Pos: n.Pos})
	}
	r.chartEnvironment(c, doc, line1)
	for _, kind := range []struct{ key, kind string }{{"environmentConfigMaps", "ConfigMap"}, {"environmentSecrets", "Secret"}} {
		list := doc.Get(kind.key)
		for _, n := range list.Items() {
			name, _ := n.Scalar()
			c.EnvFrom = append(c.EnvFrom, EnvFrom{Kind: kind.kind, Name: name, Pos: n.Pos})
			c.EnvFromPos = at(list)
		}
	}
	w.Containers = []*Container{c}
	w.Volumes = []Volume{{Name: "litellm-config", Kind: "configMap", Source: o.Name, Pos: line1, KindPos: line1}}
	if pdb := doc.Get("pdb"); pdb != nil {
		if on, _ := pdb.Get("enabled").Bool(); on {
			w.Budgets = []*Object{{File: file, Node: pdb, Kind: "PodDisruptionBudget", Name: file, NamePos: at(pdb), Pos: at(pdb)}}
		}
	}
	if in := doc.Get("ingress"); in != nil {
		if on, _ := in.Get("enabled").Bool(); on {
			ingress := &Object{File: file, Node: in, Kind: "Ingress", Name: file, NamePos: at(in), Pos: at(in), Annotations: map[string]Text{}}
			for _, a := range in.Get("annotations").Items() {
				v, _ := a.Scalar()
				ingress.Annotations[a.Key] = Text{Value: v, Set: true, Pos: a.Where()}
			}
			w.Ingresses = []*Object{ingress}
		}
	}
	out := []*Workload{w}
	job := doc.Get("migrationJob")
	if on, set := job.Get("enabled").Bool(); on || !set {
		out = append(out, r.chartJob(file, o, c, job, at(job)))
	}
	return out, r.findings
}

// chartImage is the image of the chart. An empty tag stands for the release
// the chart was published with, which does not move.
func (r *reader) chartImage(n *config.Node) Image {
	repository, tag := r.text(n.Get("repository")), r.text(n.Get("tag"))
	if !repository.Set {
		repository = Text{Value: chartRepository, Pos: n.Where()}
	}
	ref := repository.Value
	if tag.Value != "" {
		ref += ":" + tag.Value
	}
	img := ParseImage(ref)
	img.Set = tag.Value != "" || img.Digest != ""
	img.Pos = repository.Pos
	if tag.Value != "" {
		img.Pos = tag.Pos
	}
	return img
}

// chartEnvironment are the variables that the chart gives to the gateway, the
// later beating the earlier.
func (r *reader) chartEnvironment(c *Container, doc *config.Node, line1 finding.Position) {
	at := map[string]int{}
	put := func(v EnvVar) {
		if v.ValPos.Line == 0 {
			v.ValPos = v.Pos
		}
		if i, ok := at[v.Name]; ok {
			c.Env[i] = v
			return
		}
		at[v.Name] = len(c.Env)
		c.Env = append(c.Env, v)
	}
	secret := func(pos finding.Position, names ...string) {
		for _, name := range names {
			put(EnvVar{Name: name, From: "the chart", Pos: pos})
		}
	}
	put(EnvVar{Name: "HOST", Value: "0.0.0.0", Known: true, From: "the chart", Pos: line1})
	port := "4000"
	if p := r.text(doc.Get("service").Get("port")); p.Set {
		port = p.Value
	}
	put(EnvVar{Name: "PORT", Value: port, Known: true, From: "the chart", Pos: line1})
	db := doc.Get("db")
	existing, _ := db.Get("useExisting").Bool()
	standalone, said := db.Get("deployStandalone").Bool()
	pos := line1
	if db != nil {
		pos = db.Where()
	}
	switch {
	case existing:
		secret(pos, "DATABASE_USERNAME", "DATABASE_PASSWORD", "DATABASE_HOST", "DATABASE_NAME", "DATABASE_URL")
		if url := db.Get("url"); url != nil {
			text, _ := url.Scalar()
			if text != "" && !containsReference(text) {
				put(EnvVar{Name: "DATABASE_URL", Value: text, Known: true, From: "value", Pos: url.Where(), ValPos: url.Pos})
			}
		}
	case standalone || !said:
		secret(pos, "DATABASE_USERNAME", "DATABASE_PASSWORD", "DATABASE_HOST", "DATABASE_NAME")
	}
	secret(line1, "PROXY_MASTER_KEY")
	if key := doc.Get("masterkey"); key != nil {
		if text, _ := key.Scalar(); text != "" {
			put(EnvVar{Name: "PROXY_MASTER_KEY", Value: text, Known: true, From: "value", Pos: key.Where(), ValPos: key.Pos})
		}
	}
	if on, _ := doc.Get("redis").Get("enabled").Bool(); on {
		secret(doc.Get("redis").Where(), "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD")
	}
	level := Text{Value: "INFO", Pos: line1}
	if l := r.text(doc.Get("logLevel")); l.Set {
		level = l
	}
	put(EnvVar{Name: "LITELLM_LOG", Value: level.Value, Known: true, From: "the chart", Pos: level.Pos})
	for _, n := range doc.Get("envVars").Items() {
		text, _ := n.Scalar()
		put(EnvVar{Name: n.Key, Value: text, Known: true, From: "value", Pos: n.Where(), ValPos: n.Pos})
	}
	for _, n := range doc.Get("extraEnvVars").Items() {
		name := n.Get("name")
		key, _ := name.Scalar()
		if key == "" {
			continue
		}
		v := EnvVar{Name: key, From: "valueFrom", Pos: name.Where(), ValPos: n.Pos}
		if value := n.Get("value"); value != nil {
			v.Value, _ = value.Scalar()
			v.Known, v.From, v.ValPos = true, "value", value.Pos
		}
		put(v)
	}
	job := doc.Get("migrationJob")
	if on, set := job.Get("enabled").Bool(); on || !set {
		put(EnvVar{Name: "DISABLE_SCHEMA_UPDATE", Value: "true", Known: true, From: "the chart", Pos: line1})
	}
}

// chartJob is the chart's migration Job.
func (r *reader) chartJob(file string, o *Object, gateway *Container, n *config.Node, pos finding.Position) *Workload {
	c := &Container{
		Name: Text{Value: "prisma-migrations", Set: true, Pos: pos}, Pos: pos, Image: gateway.Image, Gateway: true, Target: "litellm",
		Command: []Arg{{Text: "python", Pos: pos}, {Text: "litellm/proxy/prisma_migration.py", Pos: pos}}, CommandPos: pos,
		Resources: r.resources(n.Get("resources")), EnvPos: pos,
	}
	skip := EnvVar{Name: "DISABLE_SCHEMA_UPDATE", Value: "false", Known: true, From: "the chart", Pos: pos, ValPos: pos}
	if off := n.Get("disableSchemaUpdate"); off != nil {
		if on, _ := off.Bool(); on {
			skip.Value, skip.Pos, skip.ValPos = "true", off.Where(), off.Pos
		}
	}
	c.Env = []EnvVar{skip}
	hooks := ""
	if on, _ := n.Get("hooks").Get("helm").Get("enabled").Bool(); on {
		hooks = "helm"
	}
	if on, set := n.Get("hooks").Get("argocd").Get("enabled").Bool(); on || !set {
		if hooks != "" {
			hooks += "+"
		}
		hooks += "argocd"
	}
	return &Workload{Object: o, Form: FromValues, Kind: "Job", Name: file + " migrations", NamePos: pos, SpecPos: pos, PodSpecPos: pos, Containers: []*Container{c}, Hook: hooks}
}

func containsReference(s string) bool {
	for i := 0; i+1 < len(s); i++ {
		if s[i] == '$' && s[i+1] == '(' {
			return true
		}
	}
	return false
}

// OwnValues reads values of llmgw's own chart, which writes every number out.
func OwnValues(file string, data []byte, doc *config.Node) ([]*Workload, []finding.Finding) {
	r := &reader{}
	line1 := finding.Position{File: file, Line: 1, Col: 1}
	o := newObject(file, data, doc)
	o.Kind, o.Name, o.NamePos, o.Labels, o.Annotations = "chart values", file, line1, nil, nil
	target := "llmgw"
	if t := r.text(doc.Get("target")); t.Set {
		target = t.Value
	}
	w := &Workload{
		Object: o, Form: FromValues, Kind: "Deployment", Name: file, NamePos: line1, SpecPos: line1, PodSpecPos: line1, Spread: true,
		Replicas: r.int(doc.Get("replicas")),
		Strategy: Strategy{Set: true, MaxSurge: IntOrPercent{Value: 1, Set: true, Pos: line1}, MaxUnavailable: IntOrPercent{Set: true, Pos: line1}, Pos: line1},
		Budgets:  []*Object{o},
		Volumes:  []Volume{{Name: "config", Kind: "configMap", Source: o.Name, Pos: line1, KindPos: line1}},
	}
	pre, longest, margin := r.int(doc.Get("preStopSeconds")), r.int(doc.Get("requestTimeout")), r.int(doc.Get("shutdownMargin"))
	w.Grace = Int{Value: pre.Or(5) + longest.Or(600) + margin.Or(15), Set: true, Pos: firstPos(doc.Get("shutdownMargin"), doc.Get("requestTimeout"), doc)}
	scaling := doc.Get("autoscaling")
	if on, _ := scaling.Get("enabled").Bool(); on {
		w.Scaler = &Scaler{Object: o, Kind: "HorizontalPodAutoscaler", Min: w.Replicas, Max: r.int(scaling.Get("maxReplicas")), MetricsPos: scaling.Where()}
		for _, name := range []string{"cpu", "memory"} {
			if m := r.int(scaling.Get(name)); m.Value > 0 {
				w.Scaler.Metrics = append(w.Scaler.Metrics, Metric{Resource: name, Target: m, Pos: m.Pos})
			}
		}
		w.Replicas = Int{}
	}
	size := doc.Get("resources")
	c := &Container{
		Name: Text{Value: "gateway", Set: true, Pos: line1}, Pos: line1, Gateway: true, Target: target,
		PreStop:   PreStop{Set: true, Kind: "sleep", Seconds: float64(pre.Or(5)), Known: true, Pos: firstPos(doc.Get("preStopSeconds"), doc)},
		Resources: Resources{Set: size.Len() > 0, Pos: size.Where(), RequestsCPU: r.quantity(size.Get("cpu")), LimitsCPU: r.quantity(size.Get("cpu")), RequestsMemory: r.quantity(size.Get("memory")), LimitsMemory: r.quantity(size.Get("memory"))},
		Security:  Security{ReadOnlyRoot: r.flag(doc.Get("readOnlyRootFilesystem")), RunAsNonRoot: Flag{Value: true, Set: true, Pos: line1}, RunAsUser: r.int(doc.Get("runAsUser")), DropsAll: true},
		EnvPos:    line1, ArgsPos: line1,
	}
	if ref := r.text(doc.Get("image").Get("reference")); ref.Set {
		c.Image = ParseImage(ref.Value)
		c.Image.Pos = ref.Pos
	}
	if n := r.int(doc.Get("workers")); n.Set && target != "llmgw" {
		c.Args, c.ArgsPos = []Arg{{Text: "--num_workers", Pos: n.Pos}, {Text: strconv.Itoa(n.Value), Pos: n.Pos}}, n.Pos
	}
	for _, n := range doc.Get("secrets").Get("env").Items() {
		name, _ := n.Scalar()
		c.Env = append(c.Env, EnvVar{Name: name, From: "secretKeyRef", Pos: n.Pos, ValPos: n.Pos})
	}
	for _, n := range doc.Get("extraEnv").Items() {
		text, _ := n.Scalar()
		c.Env = append(c.Env, EnvVar{Name: n.Key, Value: text, Known: true, From: "value", Pos: n.Where(), ValPos: n.Pos})
	}
	// What the chart itself writes.
	for _, fixed := range [][2]string{{"LITELLM_MODE", "PRODUCTION"}, {"LITELLM_LOG", "ERROR"}} {
		if _, ok := c.LookupEnv(fixed[0]); !ok {
			c.Env = append(c.Env, EnvVar{Name: fixed[0], Value: fixed[1], Known: true, From: "the chart", Pos: line1, ValPos: line1})
		}
	}
	w.Containers = []*Container{c}
	out := []*Workload{w}
	if mode := r.text(doc.Get("migrations").Get("mode")); mode.Set && mode.Value != "none" {
		pos := mode.Pos
		c.Env = append(c.Env, EnvVar{Name: "DISABLE_SCHEMA_UPDATE", Value: "true", Known: true, From: "the chart", Pos: pos, ValPos: pos})
		job := &Container{Name: Text{Value: "migrate", Set: true, Pos: pos}, Pos: pos, Image: c.Image, Gateway: true, Target: target,
			Command: []Arg{{Text: "llmgw", Pos: pos}, {Text: "migrate", Pos: pos}, {Text: "deploy", Pos: pos}}, CommandPos: pos, EnvPos: pos}
		hook := map[string]string{"helm-hook": "helm", "argocd": "argocd", "argocd-sync": "argocd", "job": "job", "init": "init"}[mode.Value]
		out = append(out, &Workload{Object: o, Form: FromValues, Kind: "Job", Name: file + " migrations", NamePos: pos, SpecPos: pos, PodSpecPos: pos, Containers: []*Container{job}, Hook: hook})
	}
	return out, r.findings
}

// IsOwnValues tells values of llmgw's chart from those of LiteLLM's.
func IsOwnValues(doc *config.Node) bool {
	return doc.Get("config").Has("files") && doc.Get("image").Has("reference")
}
