package manifest

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// composeGrace is how long Docker waits between SIGTERM and SIGKILL, in
// seconds, when a service does not say.
const composeGrace = 10

// ComposeServices reads the services of a compose file. readEnv reads an env_file by
// the path the compose file gives; it says false for one that cannot be read.
func ComposeServices(file string, data []byte, doc *config.Node, readEnv func(path string) ([]config.Var, bool)) ([]*Workload, []finding.Finding) {
	r := &reader{}
	var out []*Workload
	for _, n := range doc.Get("services").Items() {
		if n.Kind != config.Map {
			continue
		}
		out = append(out, r.service(file, data, n, readEnv))
	}
	for _, w := range out {
		markGateway(w)
	}
	for _, w := range out {
		c := w.Containers[0]
		// A service that migrates and ends is what a Job is elsewhere.
		if c.Migrates(w.Name) && !strings.Contains(commandLine(c), "--config") {
			w.Kind = "Job"
			for _, other := range doc.Get("services").Items() {
				if text(other.Get("depends_on").Get(w.Name), "condition") == "service_completed_successfully" {
					w.Hook = "compose"
				}
			}
		}
	}
	return out, r.findings
}

func commandLine(c *Container) string {
	var words []string
	for _, a := range c.Words() {
		words = append(words, a.Text)
	}
	return strings.Join(words, " ")
}

func (r *reader) service(file string, data []byte, n *config.Node, readEnv func(string) ([]config.Var, bool)) *Workload {
	o := newObject(file, data, n)
	o.Kind, o.Name, o.NamePos, o.Labels, o.Annotations = "service", n.Key, n.Where(), nil, nil
	w := &Workload{
		Object: o, Form: FromCompose, Kind: "Deployment", Name: n.Key, NamePos: n.Where(), SpecPos: n.Where(), PodSpecPos: n.Where(),
		// Compose stops the old container before it starts the new one.
		Strategy: Strategy{Set: true, Type: Text{Value: "Recreate", Set: true, Pos: n.Where()}, Pos: n.Where()},
		Grace:    Int{Value: composeGrace, Set: true, Pos: n.Where()},
	}
	if g := n.Get("stop_grace_period"); g != nil {
		word, _ := g.Scalar()
		if d, ok := composeDuration(word); ok {
			w.Grace = Int{Value: int(d / time.Second), Set: true, Pos: g.Where()}
		} else {
			r.bad(g, "a duration such as 90s or 10m30s")
		}
	}
	deploy := n.Get("deploy")
	w.Replicas = r.int(deploy.Get("replicas"))
	if !w.Replicas.Set {
		w.Replicas = r.int(n.Get("scale"))
	}
	c := &Container{
		Name: Text{Value: n.Key, Set: true, Pos: n.Where()}, Pos: n.Where(),
		Command: r.words(n.Get("entrypoint")), Args: r.words(n.Get("command")),
		CommandPos: firstPos(n.Get("entrypoint")), ArgsPos: firstPos(n.Get("command")),
		EnvPos: firstPos(n.Get("environment"), n), EnvFromPos: firstPos(n.Get("env_file")),
		Liveness: r.healthcheck(n.Get("healthcheck")),
	}
	if img := r.text(n.Get("image")); img.Set {
		ref, known := interpolate(img.Value)
		c.Image = ParseImage(ref)
		c.Image.Pos, c.Image.Set = img.Pos, known
	}
	limits, reserved := deploy.Get("resources").Get("limits"), deploy.Get("resources").Get("reservations")
	c.Resources = Resources{
		Set: limits != nil || reserved != nil || n.Has("mem_limit") || n.Has("cpus"), Pos: firstPos(deploy.Get("resources"), n.Get("mem_limit"), n.Get("cpus")),
		RequestsCPU: r.quantity(reserved.Get("cpus")), RequestsMemory: r.bytes(reserved.Get("memory")),
		LimitsCPU: r.quantity(firstNode(limits.Get("cpus"), n.Get("cpus"))), LimitsMemory: r.bytes(firstNode(limits.Get("memory"), n.Get("mem_limit"))),
	}
	c.Security = Security{ReadOnlyRoot: r.flag(n.Get("read_only")), ContainerPos: firstPos(n.Get("read_only"), n), HasContainerContext: n.Has("read_only")}
	if u := n.Get("user"); u != nil {
		word, _ := u.Scalar()
		name, _, _ := strings.Cut(word, ":")
		id, err := strconv.Atoi(name)
		c.Security.RunAsNonRoot = Flag{Value: name != "root" && !(err == nil && id == 0), Set: true, Pos: u.Where()}
		if err == nil {
			c.Security.RunAsUser = Int{Value: id, Set: true, Pos: u.Where()}
		}
	}
	for _, d := range n.Get("cap_drop").Items() {
		c.Security.CapabilitiesDropListed = true
		if v, _ := d.Scalar(); strings.EqualFold(v, "ALL") {
			c.Security.DropsAll = true
		}
	}
	for _, d := range n.Get("security_opt").Items() {
		if v, _ := d.Scalar(); strings.HasPrefix(v, "no-new-privileges") && !strings.HasSuffix(v, "false") {
			c.Security.PrivilegeEscalation = Flag{Set: true, Pos: d.Pos}
		}
	}
	r.composeVolumes(w, c, n)
	for _, p := range n.Get("ports").Items() {
		word, _ := p.Scalar()
		word = strings.TrimSuffix(strings.TrimSuffix(word, "/tcp"), "/udp")
		if p.Kind == config.Map {
			word = text(p, "target")
		}
		number, _ := strconv.Atoi(word[strings.LastIndexByte(word, ':')+1:])
		c.Ports = append(c.Ports, Port{Number: number, Pos: p.Pos})
	}
	r.composeEnvironment(c, n, readEnv)
	w.Containers = []*Container{c}
	return w
}

func firstNode(nodes ...*config.Node) *config.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

// words reads a command, which is a list, or a text that a shell would split.
func (r *reader) words(n *config.Node) []Arg {
	if n.IsNull() || n.Kind == config.List {
		return r.args(n)
	}
	line, ok := n.Scalar()
	if !ok {
		r.bad(n, "a list of words, or a text")
		return nil
	}
	var out []Arg
	for _, w := range splitWords(line) {
		out = append(out, Arg{Text: w, Pos: n.Where()})
	}
	return out
}

// splitWords cuts a command line as a shell does, without expanding anything.
func splitWords(line string) []string {
	var out []string
	var word strings.Builder
	open, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		ch := line[i]
		switch {
		case quote != 0 && ch == quote:
			quote = 0
		case quote == '\'' || quote == 0 && ch != '\\' && ch != '"' && ch != '\'' && !strings.ContainsRune(" \t\r\n", rune(ch)):
			word.WriteByte(ch)
			open = true
		case ch == '\\' && i+1 < len(line):
			i++
			if line[i] != '\n' {
				word.WriteByte(line[i])
				open = true
			}
		case quote == '"':
			word.WriteByte(ch)
		case ch == '"' || ch == '\'':
			quote, open = ch, true
		default:
			if open {
				out = append(out, word.String())
			}
			word.Reset()
			open = false
		}
	}
	if open {
		out = append(out, word.String())
	}
	return out
}

var composeVariable = regexp.MustCompile(`\$\$|\$\{([A-Za-z_]\w*)(:?[-?+])?([^}]*)\}|\$([A-Za-z_]\w*)`)

// interpolate puts in the defaults of ${NAME:-default}. known is false when
// something is left that only the shell which starts compose knows.
func interpolate(s string) (text string, known bool) {
	known = true
	text = composeVariable.ReplaceAllStringFunc(s, func(m string) string {
		if m == "$$" {
			return "$"
		}
		// Even a default is only what holds when nobody says otherwise.
		if part := composeVariable.FindStringSubmatch(m); part[2] == ":-" || part[2] == "-" {
			return part[3]
		}
		known = false
		return ""
	})
	return text, known
}

func composeDuration(s string) (time.Duration, bool) {
	s = strings.TrimSpace(s)
	if d, err := time.ParseDuration(s); err == nil && d >= 0 && d < 1<<31*time.Second {
		return d, true
	}
	if v, err := strconv.Atoi(s); err == nil && v >= 0 && v < 1<<31 {
		return time.Duration(v) * time.Second, true
	}
	return 0, false
}

// bytes reads an amount of memory as compose writes it: 4g is 4Gi.
func (r *reader) bytes(n *config.Node) Quantity {
	if n.IsNull() {
		return Quantity{}
	}
	word, _ := n.Scalar()
	lower := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(word)), "b")
	unit := 1.0
	if lower != "" {
		if i := strings.IndexByte("kmgt", lower[len(lower)-1]); i >= 0 {
			for range i + 1 {
				unit *= 1024
			}
			lower = lower[:len(lower)-1]
		}
	}
	v, err := strconv.ParseFloat(lower, 64)
	if err != nil || !(v >= 0 && v < 1<<50) {
		if _, known := interpolate(word); known {
			r.bad(n, "an amount of memory such as 512m or 4g")
		}
		return Quantity{}
	}
	return Quantity{Text: word, Value: v * unit, Set: true, Pos: n.Where()}
}

var healthPath = regexp.MustCompile(`https?://[^/\s"']+(?::\d+)?(/[^\s"'?#)]*)?`)

// healthcheck is the one probe compose has: it decides about restarts and
// about who waits, so it counts as liveness.
func (r *reader) healthcheck(n *config.Node) Probe {
	if n.IsNull() || n.Kind != config.Map {
		return Probe{}
	}
	if off, _ := n.Get("disable").Bool(); off {
		return Probe{}
	}
	test := n.Get("test")
	line, _ := test.Scalar()
	for _, item := range test.Items() {
		word, _ := item.Scalar()
		line += " " + word
	}
	if strings.TrimSpace(line) == "NONE" || test == nil {
		return Probe{}
	}
	p := Probe{Set: true, Kind: "exec", Pos: n.Where(), FailureThreshold: r.int(n.Get("retries"))}
	for _, f := range []struct {
		key string
		to  *Int
	}{{"timeout", &p.TimeoutSeconds}, {"interval", &p.PeriodSeconds}, {"start_period", &p.InitialDelay}} {
		if v := n.Get(f.key); v != nil {
			word, _ := v.Scalar()
			if d, ok := composeDuration(word); ok {
				*f.to = Int{Value: int(d / time.Second), Set: true, Pos: v.Where()}
			}
		}
	}
	if m := healthPath.FindStringSubmatch(line); m != nil {
		p.Kind = "httpGet"
		p.Path = Text{Value: m[1], Set: true, Pos: test.Where()}
	}
	return p
}

func (r *reader) composeVolumes(w *Workload, c *Container, n *config.Node) {
	add := func(source, target string, ro bool, pos finding.Position) {
		kind := "hostPath"
		if source == "" {
			kind = "emptyDir"
		} else if !strings.ContainsAny(source, "/.") {
			kind = "persistentVolumeClaim"
		}
		name := "v" + strconv.Itoa(len(w.Volumes))
		w.Volumes = append(w.Volumes, Volume{Name: name, Kind: kind, Source: source, Pos: pos, KindPos: pos})
		c.Mounts = append(c.Mounts, Mount{Name: name, Path: target, ReadOnly: ro, Pos: pos})
	}
	for _, v := range n.Get("volumes").Items() {
		if v.Kind == config.Map {
			ro, _ := v.Get("read_only").Bool()
			add(text(v, "source"), text(v, "target"), ro, v.Pos)
			continue
		}
		word, _ := v.Scalar()
		part := strings.Split(word, ":")
		if len(part) == 1 {
			add("", part[0], false, v.Pos)
			continue
		}
		add(part[0], part[1], len(part) > 2 && strings.Contains(part[2], "ro"), v.Pos)
	}
	tmp := n.Get("tmpfs")
	if word, ok := tmp.Scalar(); ok && word != "" {
		path, _, _ := strings.Cut(word, ":")
		add("", path, false, tmp.Where())
	}
	for _, v := range tmp.Items() {
		word, _ := v.Scalar()
		path, _, _ := strings.Cut(word, ":")
		add("", path, false, v.Pos)
	}
}

// composeEnvironment fills the variables: env_file first, environment over it.
func (r *reader) composeEnvironment(c *Container, n *config.Node, readEnv func(string) ([]config.Var, bool)) {
	at := map[string]int{}
	put := func(v EnvVar) {
		if i, ok := at[v.Name]; ok {
			c.Env[i] = v
			return
		}
		at[v.Name] = len(c.Env)
		c.Env = append(c.Env, v)
	}
	file := func(path string, pos finding.Position, optional bool) {
		vars, ok := readEnv(path)
		for _, v := range vars {
			put(EnvVar{Name: v.Name, Value: v.Value, Known: true, From: "env_file " + path, Pos: v.Pos, ValPos: v.Pos})
		}
		c.EnvFrom = append(c.EnvFrom, EnvFrom{Kind: "env_file", Name: path, Optional: optional, Resolved: ok, Pos: pos})
	}
	files := n.Get("env_file")
	if path, ok := files.Scalar(); ok && path != "" {
		file(path, files.Where(), false)
	}
	for _, f := range files.Items() {
		if f.Kind == config.Map {
			required, said := f.Get("required").Bool()
			file(text(f, "path"), f.Pos, said && !required)
			continue
		}
		path, _ := f.Scalar()
		file(path, f.Pos, false)
	}
	env := n.Get("environment")
	for _, e := range env.Items() {
		if env.Kind == config.Map {
			v := EnvVar{Name: e.Key, From: "value", Pos: e.Where(), ValPos: e.Pos}
			if !e.IsNull() {
				word, _ := e.Scalar()
				v.Value, v.Known = interpolate(word)
			}
			put(v)
			continue
		}
		line, _ := e.Scalar()
		name, value, given := strings.Cut(line, "=")
		v := EnvVar{Name: name, From: "value", Pos: e.Pos, ValPos: e.Pos}
		if given {
			v.Value, v.Known = interpolate(value)
		}
		put(v)
	}
}
