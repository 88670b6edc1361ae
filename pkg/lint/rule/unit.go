package rule

import (
	"iter"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
)

// Flags are the facts that the command line gives because no file holds them.
type Flags struct {
	Args              string // launcher arguments
	Target            facts.Target
	Version           string
	Profile           Profile
	MaxConnections    facts.Int
	MaxDBConnections  facts.Int
	DBReserve         facts.Int
	SuperuserReserved facts.Int
	Reserved          facts.Int
	OtherConnections  facts.Int
	Instances         facts.Int
	ExpectedRPS       facts.Int
	ClientTimeout     facts.Seconds
	LBIdle            facts.Seconds
	MaxAttempts       int // 12 when 0
	Memory            *Memory
	Container         string // namespace/name/container that runs the gateway
	PgBouncerClients  facts.Int
	PgBouncerPool     facts.Int
}

// Config is one gateway config among the inputs.
type Config struct {
	File   string
	Root   *config.Node
	Data   []byte           // what Root was read from
	Dir    string           // where relative includes start
	Object *manifest.Object // the ConfigMap that carries it, or nil
	Key    string           // its key in the ConfigMap
	Exact  bool             // positions are those of File; else all are At
	At     finding.Position
}

// Line1 is the position of process-wide absences.
func (c *Config) Line1() finding.Position {
	return finding.Position{File: c.File, Line: 1, Col: 1}
}

// EnvFile is one KEY=VALUE file.
type EnvFile struct {
	File string
	Data []byte
	Vars []config.Var
}

// Model is everything the inputs say, read once.
type Model struct {
	Flags     Flags
	Configs   []*Config
	EnvFiles  []*EnvFile
	Objects   []*manifest.Object
	Workloads []*manifest.Workload
	Units     []*Unit

	lookup index // filled when it is first asked
}

// Unit is what is judged together: a gateway config, the workload that runs
// it, and the environment both see. Config or Workload may be nil.
type Unit struct {
	Model     *Model
	Config    *Config
	Workload  *manifest.Workload
	Container *manifest.Container
	Env       *config.Env
	Args      Args
	Target    facts.Target
	Version   litellm.Version // valid when VersionKnown
	// VersionText is the version as it was written.
	VersionText  string
	VersionPos   finding.Position
	VersionKnown bool

	Tree  *config.Tree     // the config with references resolved
	Facts facts.Deployment // the numbers, as render and serve compute them
	W     facts.Int        // workers per instance
	R     facts.Int        // largest number of instances
	Rmin  facts.Int        // smallest number of instances
	Surge facts.Surge

	// What several rules look at is worked out once; rules run one after another.
	modelList  []model
	knownNames map[string]bool
	wildcards  []string
	jobs       *[]*manifest.Workload
	places     map[place]*config.Node
	refused    []finding.Finding
	checked    bool
}

// NewModel joins the inputs into units.
func NewModel(flags Flags, configs []*Config, envFiles []*EnvFile, objects []*manifest.Object, workloads []*manifest.Workload) *Model {
	m := &Model{Flags: flags, Configs: configs, EnvFiles: envFiles, Objects: objects, Workloads: workloads}
	used := map[*manifest.Workload]bool{}
	runs := m.runs()
	for _, c := range configs {
		mine := runs[c]
		for _, w := range mine {
			used[w] = true
			m.Units = append(m.Units, m.unit(c, w))
		}
		if len(mine) == 0 {
			m.Units = append(m.Units, m.unit(c, nil))
		}
	}
	for _, w := range workloads {
		if !used[w] && w.Serving() && w.Gateway() != nil {
			m.Units = append(m.Units, m.unit(nil, w))
		}
	}
	if len(m.Units) == 0 {
		m.Units = append(m.Units, m.unit(nil, nil))
	}
	return m
}

// mostConfigs bounds how many equally near configs one workload is judged with:
// of a hundred configs in one directory nobody can say which one it runs.
const mostConfigs = 16

// mostJobs does the same for migration Jobs.
const mostJobs = 64

// runs says which workloads run each config: those that mount its ConfigMap; of
// the plain files, for a workload that mounts no config found among the inputs,
// those that lie nearest to it in the tree of directories: envs/dev and
// envs/prod each keep their own.
func (m *Model) runs() map[*Config][]*manifest.Workload {
	mounted := map[string][]*Config{}
	plain := map[string][]*Config{} // by every directory they lie below
	for _, c := range m.Configs {
		if c.Object != nil {
			mounted[c.Object.Name] = append(mounted[c.Object.Name], c)
			continue
		}
		for dir := range upwards(c.File) {
			plain[dir] = append(plain[dir], c)
		}
	}
	out := map[*Config][]*manifest.Workload{}
	for _, w := range m.Workloads {
		if w.Gateway() == nil || !w.Serving() {
			continue
		}
		mine := map[*Config]bool{}
		owned := false
		for _, v := range w.Volumes {
			if v.Kind != "configMap" {
				continue
			}
			for _, c := range mounted[v.Source] {
				owned = true
				if !mine[c] {
					mine[c] = true
					out[c] = append(out[c], w)
				}
			}
		}
		if owned {
			continue
		}
		for dir := range upwards(w.Object.File) {
			near := plain[dir]
			for _, c := range near[:min(len(near), mostConfigs)] {
				out[c] = append(out[c], w)
			}
			if len(near) > 0 {
				break
			}
		}
	}
	return out
}

// upwards are the file itself and its directories, the innermost first; "" is
// the last.
func upwards(file string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(file) {
			return
		}
		for i := len(file) - 1; i >= 0; i-- {
			if file[i] == '/' && !yield(file[:i+1]) {
				return
			}
		}
		yield("")
	}
}

func (m *Model) unit(c *Config, w *manifest.Workload) *Unit {
	u := &Unit{Model: m, Config: c, Workload: w, Container: w.Gateway(), Env: config.NewEnv(false)}
	u.environment()
	u.arguments()
	u.target()
	u.version()
	u.deployment()
	return u
}

// environment merges the sources; the first that names a variable wins.
func (u *Unit) environment() {
	set := func(v config.Var) {
		if !u.Env.Has(v.Name) {
			u.Env.Set(v)
		}
	}
	for _, f := range u.Model.EnvFiles {
		for _, v := range f.Vars {
			set(v)
		}
	}
	closed := len(u.Model.EnvFiles) > 0
	if u.Container != nil {
		closed = true
		for _, v := range u.Container.Env {
			pos := v.Pos
			if v.ValPos.Line == pos.Line && v.ValPos.End > 0 {
				pos.Offset, pos.End = v.ValPos.Offset, v.ValPos.End
			}
			set(config.Var{Name: v.Name, Value: v.Value, Known: v.Known, Source: "container env", Pos: pos})
		}
		if u.Container.EnvOpen() {
			closed = false
		}
	}
	for _, n := range u.Section("environment_variables").Items() {
		text, _ := n.Scalar()
		if strings.HasPrefix(text, refPrefix) {
			continue
		}
		set(config.Var{Name: n.Key, Value: text, Known: true, Source: "environment_variables", Pos: valueSpan(n)})
	}
	u.Env.SetClosed(closed)
}

func (u *Unit) target() {
	switch {
	case u.Model.Flags.Target != "":
		u.Target = u.Model.Flags.Target
	case u.Container != nil && u.Container.Target == "llmgw":
		u.Target = facts.LLMGW
	case u.Container == nil && u.Config != nil && u.Config.Root.Has("llmgw"):
		u.Target = facts.LLMGW
	default:
		u.Target = facts.LiteLLM
	}
}

func (u *Unit) version() {
	if v := u.Model.Flags.Version; v != "" {
		u.VersionText = v
		u.Version, u.VersionKnown = litellm.ParseVersion(v)
		return
	}
	if u.Container == nil || u.Target == facts.LLMGW {
		return
	}
	u.VersionText, u.VersionPos = u.Container.Image.Tag, u.Container.Image.Pos
	u.Version, u.VersionKnown = litellm.ParseVersion(u.VersionText)
}

// deployment gathers the numbers with the function that render and serve use
// too.
func (u *Unit) deployment() {
	f := u.Model.Flags
	flags := facts.Flags{
		Target: u.Target, Instances: f.Instances, ClientTimeout: f.ClientTimeout, LBIdle: f.LBIdle,
		Ceiling: f.ceiling(),
	}
	if f.PgBouncerClients.IsSet() {
		flags.PgBouncer = facts.Pooler{MaxClientConn: f.PgBouncerClients, PoolSize: f.PgBouncerPool}
	}
	if flags.Ceiling.Kind == facts.NoCeiling {
		flags.Ceiling = u.serverCeiling(f)
	}
	for _, w := range strings.Fields(f.Args) {
		flags.Args = append(flags.Args, manifest.Arg{Text: w, Pos: argsPos})
	}
	src := config.Sources{Env: u.Env.Clone()}
	if u.Config != nil {
		src.Data, src.File, src.Dir = u.Config.Data, u.Config.File, u.Config.Dir
	}
	tree, _, err := config.Load(src)
	if err != nil || tree == nil {
		tree, _, _ = config.Load(config.Sources{Env: u.Env.Clone()})
	}
	u.Tree = tree
	u.Facts = facts.FromWorkload(flags, tree, u.Workload, u.Jobs())
	u.Facts.Pooled = u.Facts.Pooled || f.PgBouncerClients.IsSet()
	u.W, u.R, u.Rmin, u.Surge = u.Facts.Workers, u.Facts.Instances, u.Facts.MinInstances, u.Facts.Surge
}

// ceiling is what the flags say about the database's connections.
func (f Flags) ceiling() facts.Ceiling {
	c := facts.Ceiling{Reserve: f.DBReserve, SuperuserReserved: f.SuperuserReserved, Reserved: f.Reserved, Other: f.OtherConnections}
	switch {
	case f.MaxDBConnections.IsSet():
		c.Kind, c.N = facts.MaxDBConnections, f.MaxDBConnections
	case f.MaxConnections.IsSet():
		c.Kind, c.N = facts.MaxConnections, f.MaxConnections
	}
	return c
}

// serverCeiling reads max_connections off a Postgres container among the
// inputs.
func (u *Unit) serverCeiling(f Flags) facts.Ceiling {
	n := u.Model.index().postgresMax
	if !n.IsSet() {
		return facts.Ceiling{}
	}
	c := f.ceiling()
	c.Kind, c.N = facts.MaxConnections, n
	return c
}

// Processes is W times R.
func (u *Unit) Processes() int { return max(1, u.W.Value) * max(1, u.R.Value) }

// Several reports whether more than one process serves.
func (u *Unit) Several() bool { return u.Processes() > 1 }

// Jobs are the migration Jobs that could belong to the unit: of its namespace,
// and of those the ones that lie nearest to it, in its file or in the tree of
// directories.
func (u *Unit) Jobs() []*manifest.Workload {
	if u.jobs != nil {
		return *u.jobs
	}
	var out []*manifest.Workload
	fits := func(w *manifest.Workload) bool {
		return w.Namespace == "" || u.Workload.Namespace == "" || w.Namespace == u.Workload.Namespace
	}
	x := u.Model.index()
	if u.Workload == nil {
		out = x.migrations
	} else {
		for dir := range upwards(u.Workload.Object.File) {
			for _, w := range x.migrationsIn[dir] {
				if fits(w) && len(out) < mostJobs {
					out = append(out, w)
				}
			}
			if out != nil {
				break
			}
		}
	}
	u.jobs = &out
	return out
}
