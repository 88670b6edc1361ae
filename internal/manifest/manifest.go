// Package manifest reads Kubernetes objects into workload facts: what runs
// the gateway, how often, with which environment, limits and probes, and where
// in which file each fact stands.
//
// It reads nodes of internal/config, knows no Kubernetes library and opens
// nothing: callers hand it bytes. It states facts and never judges them; a
// number that is derived from facts belongs to internal/facts, an opinion
// about them to pkg/lint.
package manifest

import (
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
)

// Text is a string a manifest states.
type Text struct {
	Value string
	Set   bool
	Pos   finding.Position // of the value's key
}

// Int is a whole number a manifest states.
type Int struct {
	Value int
	Set   bool
	Pos   finding.Position
}

// Or returns the value, or def when the manifest is silent.
func (i Int) Or(def int) int {
	if i.Set {
		return i.Value
	}
	return def
}

// IntOrPercent is a count such as maxSurge: 1 or "25%".
type IntOrPercent struct {
	Value   int
	Percent bool
	Set     bool
	Pos     finding.Position
}

// IsZero reports whether the count is stated as 0 or 0%.
func (v IntOrPercent) IsZero() bool { return v.Set && v.Value == 0 }

// Flag is a boolean a manifest states.
type Flag struct {
	Value bool
	Set   bool
	Pos   finding.Position
}

// True reports whether the flag is stated and true.
func (f Flag) True() bool { return f.Set && f.Value }

// Quantity is an amount of CPU (in cores) or memory (in bytes).
type Quantity struct {
	Text  string
	Value float64
	Set   bool
	Pos   finding.Position
}

// Image is a container image reference, split.
type Image struct {
	Ref    string // as written
	Repo   string // ghcr.io/berriai/litellm
	Tag    string
	Digest string // sha256:...
	Set    bool
	Pos    finding.Position
}

// Base is the last path segment of the repository.
func (i Image) Base() string { return i.Repo[strings.LastIndexByte(i.Repo, '/')+1:] }

// EnvVar is one variable as a container sees it. Known is false when it is
// present with a value that the inputs do not hold (a Secret key, a field
// reference): presence can be judged, the value cannot.
type EnvVar struct {
	Name   string
	Value  string
	Known  bool
	From   string           // value, secretKeyRef litellm/master, configMapRef app, fieldRef status.podIP
	Pos    finding.Position // of the entry
	ValPos finding.Position // of the value, else of the entry
}

// EnvFrom is one envFrom entry. Resolved is true when the object it names is
// among the inputs.
type EnvFrom struct {
	Kind     string // ConfigMap, Secret
	Name     string
	Prefix   string
	Optional bool
	Resolved bool
	Pos      finding.Position
}

// Probe is a readiness, liveness or startup probe.
type Probe struct {
	Set              bool
	Kind             string // httpGet, exec, tcpSocket, grpc
	Path             Text
	Port             Text // number or name, as written
	TimeoutSeconds   Int
	PeriodSeconds    Int
	FailureThreshold Int
	InitialDelay     Int
	Pos              finding.Position // of the probe's key
}

// PreStop is the hook that runs before SIGTERM.
type PreStop struct {
	Set     bool
	Kind    string // exec, sleep, httpGet
	Seconds float64
	Known   bool // Seconds could be read from the hook
	Command []string
	Path    string // httpGet path
	Shell   bool   // the hook needs a shell or a sleep binary in the image
	Pos     finding.Position
}

// Resources are a container's requests and limits.
type Resources struct {
	Set            bool
	RequestsCPU    Quantity
	RequestsMemory Quantity
	LimitsCPU      Quantity
	LimitsMemory   Quantity
	Pos            finding.Position
}

// Security is a container's security context merged over the pod's.
type Security struct {
	ReadOnlyRoot           Flag
	RunAsNonRoot           Flag
	RunAsUser              Int
	PrivilegeEscalation    Flag
	DropsAll               bool
	Seccomp                Text
	ContainerPos           finding.Position // of the container's securityContext key, zero when absent
	PodPos                 finding.Position
	AutomountToken         Flag
	HasContainerContext    bool
	HasPodContext          bool
	CapabilitiesDropListed bool
}

// Mount is one volumeMount.
type Mount struct {
	Name     string
	Path     string
	SubPath  string
	ReadOnly bool
	Pos      finding.Position
}

// Volume is one pod volume. Kind is the field that is set (configMap, secret,
// emptyDir, persistentVolumeClaim, ...), Source the name of the object behind
// it where there is one.
type Volume struct {
	Name      string
	Kind      string
	Source    string
	SizeLimit Quantity
	Pos       finding.Position
	KindPos   finding.Position
}

// Port is one container port.
type Port struct {
	Name   string
	Number int
	Pos    finding.Position
}

// Arg is one word of a command line.
type Arg struct {
	Text string
	Pos  finding.Position
}

// Container is one container of a pod template.
type Container struct {
	Name       Text
	Init       bool
	Image      Image
	Command    []Arg
	CommandPos finding.Position
	Args       []Arg
	ArgsPos    finding.Position
	Env        []EnvVar // in effect: the last duplicate wins, $(VAR) expanded, envFrom after env
	EnvPos     finding.Position
	EnvFrom    []EnvFrom
	EnvFromPos finding.Position
	Readiness  Probe
	Liveness   Probe
	Startup    Probe
	PreStop    PreStop
	Resources  Resources
	Security   Security
	Mounts     []Mount
	Ports      []Port
	Pos        finding.Position // of the list item
	Gateway    bool             // runs LiteLLM or llmgw
	Target     string           // "litellm" or "llmgw" when Gateway
}

// LookupEnv finds a variable by name.
func (c *Container) LookupEnv(name string) (EnvVar, bool) {
	if c == nil {
		return EnvVar{}, false
	}
	for _, v := range c.Env {
		if v.Name == name {
			return v, true
		}
	}
	return EnvVar{}, false
}

// EnvOpen reports whether the container takes variables from an object that
// is not among the inputs, so that the absence of a name proves nothing.
func (c *Container) EnvOpen() bool {
	for _, f := range c.EnvFrom {
		if !f.Resolved {
			return true
		}
	}
	return false
}

// Words is the command line: command, then args.
func (c *Container) Words() []Arg {
	out := make([]Arg, 0, len(c.Command)+len(c.Args))
	return append(append(out, c.Command...), c.Args...)
}

// Scaler is the HorizontalPodAutoscaler or KEDA ScaledObject that targets a
// workload.
type Scaler struct {
	Object *Object
	Kind   string // HorizontalPodAutoscaler, ScaledObject
	Min    Int
	Max    Int
	// Metrics holds the resource metrics with a utilization target.
	Metrics    []Metric
	MetricsPos finding.Position
}

// Metric is one resource metric of a scaler.
type Metric struct {
	Resource string // cpu, memory
	Target   Int    // averageUtilization
	Pos      finding.Position
}

// Strategy is a Deployment's update strategy.
type Strategy struct {
	Type           Text // RollingUpdate when silent
	MaxSurge       IntOrPercent
	MaxUnavailable IntOrPercent
	Set            bool
	Pos            finding.Position
}

// Workload is one object with a pod template, and what the other inputs say
// about it.
type Workload struct {
	Object       *Object
	Form         Form
	Kind         string // Deployment, StatefulSet, DaemonSet, Rollout, Job, CronJob
	Name         string
	Namespace    string
	NamePos      finding.Position
	SpecPos      finding.Position
	PodSpecPos   finding.Position // of the pod template's spec key
	Replicas     Int
	Strategy     Strategy
	Grace        Int // terminationGracePeriodSeconds
	ServiceLinks Flag
	Spread       bool // topologySpreadConstraints or podAntiAffinity
	Containers   []*Container
	Init         []*Container
	Volumes      []Volume
	Selector     map[string]string
	PodLabels    map[string]string
	Scaler       *Scaler
	Budgets      []*Object // PodDisruptionBudgets whose selector matches
	Services     []*Object // Services whose selector matches
	Ingresses    []*Object // Ingresses and HTTPRoutes that lead to one of Services
	// Hook is the kind of deploy hook a Job carries: "helm", "argocd",
	// "helm+argocd", or "".
	Hook string
}

// Serving reports whether the workload keeps pods running, as opposed to a
// Job.
func (w *Workload) Serving() bool {
	switch w.Kind {
	case "Deployment", "StatefulSet", "Rollout", "DaemonSet":
		return true
	}
	return false
}

// Gateway is the container that runs the gateway, or nil.
func (w *Workload) Gateway() *Container {
	if w == nil {
		return nil
	}
	for _, c := range w.Containers {
		if c.Gateway {
			return c
		}
	}
	return nil
}

// Volume finds a pod volume by name.
func (w *Workload) Volume(name string) (Volume, bool) {
	for _, v := range w.Volumes {
		if v.Name == name {
			return v, true
		}
	}
	return Volume{}, false
}
