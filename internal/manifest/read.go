package manifest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// reader turns nodes into facts and collects what it could not read.
type reader struct {
	findings []finding.Finding
}

func (r *reader) bad(n *config.Node, want string) {
	r.findings = append(r.findings, finding.Finding{
		ID: "CFG006", Severity: finding.Error, Pos: n.Where(), Path: n.Path(),
		Message: fmt.Sprintf("%s is not %s", n.Path(), want),
		Why:     "Kubernetes refuses the object, or reads something else than was meant.",
		Fix:     fmt.Sprintf("write %s.", want),
	})
}

func (r *reader) text(n *config.Node) Text {
	if n.IsNull() {
		return Text{}
	}
	s, ok := n.Scalar()
	if !ok {
		r.bad(n, "a text")
		return Text{}
	}
	return Text{Value: s, Set: true, Pos: n.Where()}
}

func (r *reader) int(n *config.Node) Int {
	if n.IsNull() {
		return Int{}
	}
	v, ok := n.Int()
	if !ok || v > 1<<31 || v < -(1<<31) {
		r.bad(n, "a whole number")
		return Int{}
	}
	if n.Kind == config.String {
		r.bad(n, "a whole number without quotes")
	}
	return Int{Value: int(v), Set: true, Pos: n.Where()}
}

func (r *reader) flag(n *config.Node) Flag {
	if n.IsNull() {
		return Flag{}
	}
	if n.Kind != config.Bool {
		r.bad(n, "true or false")
		return Flag{}
	}
	v, _ := n.Bool()
	return Flag{Value: v, Set: true, Pos: n.Where()}
}

func (r *reader) intOrPercent(n *config.Node) IntOrPercent {
	if n.IsNull() {
		return IntOrPercent{}
	}
	s, _ := n.Scalar()
	digits, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.Atoi(digits)
	if err != nil || v < 0 || v > 1<<20 {
		r.bad(n, "a whole number or a percentage")
		return IntOrPercent{}
	}
	return IntOrPercent{Value: v, Percent: percent, Set: true, Pos: n.Where()}
}

func (r *reader) quantity(n *config.Node) Quantity {
	if n.IsNull() {
		return Quantity{}
	}
	s, _ := n.Scalar()
	v, ok := ParseQuantity(s)
	if !ok {
		r.bad(n, "a quantity such as 500m or 4Gi")
		return Quantity{}
	}
	return Quantity{Text: s, Value: v, Set: true, Pos: n.Where()}
}

func (r *reader) args(n *config.Node) []Arg {
	if n.IsNull() {
		return nil
	}
	if n.Kind != config.List {
		r.bad(n, "a list of words")
		return nil
	}
	var out []Arg
	for _, item := range n.Items() {
		s, ok := item.Scalar()
		if !ok {
			r.bad(item, "a text")
			continue
		}
		out = append(out, Arg{Text: s, Pos: item.Pos})
	}
	return out
}

// ParseImage splits an image reference.
func ParseImage(ref string) Image {
	img := Image{Ref: ref, Repo: ref, Set: ref != ""}
	if repo, digest, ok := strings.Cut(ref, "@"); ok {
		img.Repo, img.Digest = repo, digest
	}
	if i := strings.LastIndexByte(img.Repo, ':'); i > strings.LastIndexByte(img.Repo, '/') {
		img.Repo, img.Tag = img.Repo[:i], img.Repo[i+1:]
	}
	return img
}

func (r *reader) probe(n *config.Node) Probe {
	if n.IsNull() || n.Kind != config.Map {
		return Probe{}
	}
	p := Probe{Set: true, Pos: n.Where(),
		TimeoutSeconds:   r.int(n.Get("timeoutSeconds")),
		PeriodSeconds:    r.int(n.Get("periodSeconds")),
		FailureThreshold: r.int(n.Get("failureThreshold")),
		InitialDelay:     r.int(n.Get("initialDelaySeconds")),
	}
	for _, kind := range []string{"httpGet", "exec", "tcpSocket", "grpc"} {
		if n.Has(kind) {
			p.Kind = kind
			p.Path = r.text(n.Get(kind).Get("path"))
			p.Port = r.text(n.Get(kind).Get("port"))
			break
		}
	}
	return p
}

var sleepWords = regexp.MustCompile(`(?:^|[\s;&|/])sleep\s+(\d+(?:\.\d+)?)([smh]?)(?:$|[\s;&|)])`)

func (r *reader) preStop(n *config.Node) PreStop {
	if n.IsNull() || n.Kind != config.Map || n.Len() == 0 {
		return PreStop{}
	}
	p := PreStop{Set: true, Pos: n.Where()}
	switch {
	case n.Has("sleep"):
		p.Kind = "sleep"
		v := r.int(n.Get("sleep").Get("seconds"))
		p.Seconds, p.Known = float64(v.Value), v.Set
	case n.Has("httpGet"):
		p.Kind = "httpGet"
		p.Path = text(n.Get("httpGet"), "path")
	case n.Has("exec"):
		p.Kind = "exec"
		for _, a := range r.args(n.Get("exec").Get("command")) {
			p.Command = append(p.Command, a.Text)
		}
		line := strings.Join(p.Command, " ")
		if m := sleepWords.FindStringSubmatch(line); m != nil {
			v, err := strconv.ParseFloat(m[1], 64)
			unit := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[m[2]]
			p.Seconds, p.Known = v*unit, err == nil
		}
		if len(p.Command) > 0 {
			switch base := p.Command[0][strings.LastIndexByte(p.Command[0], '/')+1:]; base {
			case "sh", "bash", "ash", "dash", "sleep":
				p.Shell = true
			}
		}
	}
	return p
}

func (r *reader) resources(n *config.Node) Resources {
	if n == nil {
		return Resources{}
	}
	requests, limits := n.Get("requests"), n.Get("limits")
	return Resources{
		Set: n.Len() > 0, Pos: n.Where(),
		RequestsCPU: r.quantity(requests.Get("cpu")), RequestsMemory: r.quantity(requests.Get("memory")),
		LimitsCPU: r.quantity(limits.Get("cpu")), LimitsMemory: r.quantity(limits.Get("memory")),
	}
}

func (r *reader) security(container, pod *config.Node) Security {
	return r.securityOf(container.Get("securityContext"), pod.Get("securityContext"), pod)
}

// securityOf merges a container's security context over its pod's.
func (r *reader) securityOf(c, p, pod *config.Node) Security {
	s := Security{
		ReadOnlyRoot:        r.flag(c.Get("readOnlyRootFilesystem")),
		RunAsNonRoot:        r.flag(c.Get("runAsNonRoot")),
		RunAsUser:           r.int(c.Get("runAsUser")),
		PrivilegeEscalation: r.flag(c.Get("allowPrivilegeEscalation")),
		Seccomp:             r.text(c.Get("seccompProfile").Get("type")),
		AutomountToken:      r.flag(pod.Get("automountServiceAccountToken")),
		HasContainerContext: c != nil, HasPodContext: p != nil,
	}
	if c != nil {
		s.ContainerPos = c.Where()
	}
	if p != nil {
		s.PodPos = p.Where()
	}
	if !s.RunAsNonRoot.Set {
		s.RunAsNonRoot = r.flag(p.Get("runAsNonRoot"))
	}
	if !s.RunAsUser.Set {
		s.RunAsUser = r.int(p.Get("runAsUser"))
	}
	if !s.Seccomp.Set {
		s.Seccomp = r.text(p.Get("seccompProfile").Get("type"))
	}
	for _, d := range c.Get("capabilities").Get("drop").Items() {
		s.CapabilitiesDropListed = true
		if v, _ := d.Scalar(); strings.EqualFold(v, "ALL") {
			s.DropsAll = true
		}
	}
	return s
}

func (r *reader) container(n, pod *config.Node, init bool) *Container {
	c := &Container{
		Name: r.text(n.Get("name")), Init: init, Pos: n.Pos,
		Command: r.args(n.Get("command")), Args: r.args(n.Get("args")),
		Readiness: r.probe(n.Get("readinessProbe")), Liveness: r.probe(n.Get("livenessProbe")), Startup: r.probe(n.Get("startupProbe")),
		PreStop:   r.preStop(n.Get("lifecycle").Get("preStop")),
		Resources: r.resources(n.Get("resources")),
		Security:  r.security(n, pod),
	}
	c.Name.Pos = firstPos(n.Get("name"), n)
	c.CommandPos, c.ArgsPos = firstPos(n.Get("command")), firstPos(n.Get("args"))
	c.EnvPos, c.EnvFromPos = firstPos(n.Get("env")), firstPos(n.Get("envFrom"))
	if img := r.text(n.Get("image")); img.Set {
		c.Image = ParseImage(img.Value)
		c.Image.Pos = img.Pos
	}
	for _, m := range n.Get("volumeMounts").Items() {
		ro := r.flag(m.Get("readOnly"))
		c.Mounts = append(c.Mounts, Mount{
			Name: text(m, "name"), Path: text(m, "mountPath"), SubPath: text(m, "subPath"),
			ReadOnly: ro.True(), Pos: firstPos(m.Get("mountPath"), m),
		})
	}
	for _, p := range n.Get("ports").Items() {
		v := r.int(p.Get("containerPort"))
		c.Ports = append(c.Ports, Port{Name: text(p, "name"), Number: v.Value, Pos: firstPos(p.Get("containerPort"), p)})
	}
	return c
}

func (r *reader) volumes(pod *config.Node) []Volume {
	var out []Volume
	for _, n := range pod.Get("volumes").Items() {
		v := Volume{Name: text(n, "name"), Pos: firstPos(n.Get("name"), n)}
		for _, c := range n.Items() {
			if c.Key == "name" {
				continue
			}
			v.Kind, v.KindPos = c.Key, c.Where()
			switch c.Key {
			case "configMap":
				v.Source = text(c, "name")
			case "secret":
				v.Source = text(c, "secretName")
			case "persistentVolumeClaim":
				v.Source = text(c, "claimName")
			case "emptyDir":
				v.SizeLimit = r.quantity(c.Get("sizeLimit"))
			}
		}
		out = append(out, v)
	}
	return out
}

func (r *reader) strategy(spec *config.Node) Strategy {
	n := spec.Get("strategy")
	if n == nil {
		n = spec.Get("updateStrategy")
	}
	if n == nil {
		return Strategy{}
	}
	rolling := n.Get("rollingUpdate")
	if rolling == nil {
		rolling = n.Get("canary") // Argo Rollouts
	}
	return Strategy{
		Set: true, Pos: n.Where(), Type: r.text(n.Get("type")),
		MaxSurge:       r.intOrPercent(rolling.Get("maxSurge")),
		MaxUnavailable: r.intOrPercent(rolling.Get("maxUnavailable")),
	}
}

// templates says where each kind keeps its pod template.
var templates = map[string]string{
	"Deployment": "spec.template", "StatefulSet": "spec.template", "DaemonSet": "spec.template",
	"ReplicaSet": "spec.template", "Rollout": "spec.template", "Job": "spec.template",
	"CronJob": "spec.jobTemplate.spec.template",
}

func (r *reader) workload(o *Object) *Workload {
	path, ok := templates[o.Kind]
	if !ok {
		return nil
	}
	tmpl := o.Node.Lookup(path)
	pod := tmpl.Get("spec")
	if pod == nil || pod.Kind != config.Map {
		return nil
	}
	spec := o.Node.Get("spec")
	w := &Workload{
		Object: o, Kind: o.Kind, Name: o.Name, Namespace: o.Namespace, NamePos: o.NamePos,
		SpecPos: spec.Where(), PodSpecPos: pod.Where(),
		Replicas: r.int(spec.Get("replicas")), Strategy: r.strategy(spec),
		Grace:        r.int(pod.Get("terminationGracePeriodSeconds")),
		ServiceLinks: r.flag(pod.Get("enableServiceLinks")),
		Spread: pod.Get("topologySpreadConstraints").Len() > 0 ||
			pod.Get("affinity").Get("podAntiAffinity").Len() > 0,
		Volumes:   r.volumes(pod),
		Selector:  stringMap(spec.Get("selector").Get("matchLabels")),
		PodLabels: stringMap(tmpl.Get("metadata").Get("labels")),
		Hook:      hook(o),
	}
	for _, n := range pod.Get("containers").Items() {
		if n.Kind == config.Map {
			w.Containers = append(w.Containers, r.container(n, pod, false))
		}
	}
	for _, n := range pod.Get("initContainers").Items() {
		if n.Kind == config.Map {
			w.Init = append(w.Init, r.container(n, pod, true))
		}
	}
	return w
}

// hook says which deployer runs a Job before or after the rest.
func hook(o *Object) string {
	var kinds []string
	if _, ok := o.Annotations["helm.sh/hook"]; ok {
		kinds = append(kinds, "helm")
	}
	if _, ok := o.Annotations["argocd.argoproj.io/hook"]; ok {
		kinds = append(kinds, "argocd")
	}
	return strings.Join(kinds, "+")
}
