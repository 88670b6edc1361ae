package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
)

// Cluster is what a Kubernetes cluster says about the pods of the gateway.
type Cluster struct {
	Server    string      `json:"server"`
	Namespace string      `json:"namespace,omitempty"` // "" is all
	Pods      []Pod       `json:"pods,omitempty"`
	Scalers   []Scaler    `json:"scalers,omitempty"`
	Endpoints []Endpoints `json:"endpoints,omitempty"`
	Events    []Event     `json:"events,omitempty"`
}

// Pod is one pod that runs the gateway.
type Pod struct {
	Namespace  string           `json:"namespace"`
	Name       string           `json:"name"`
	Owner      string           `json:"owner,omitempty"`    // the workload
	Revision   string           `json:"revision,omitempty"` // its ReplicaSet
	Phase      string           `json:"phase"`
	Ending     bool             `json:"ending,omitempty"`
	Containers []ContainerState `json:"containers"`
}

// ContainerState is how a container fares.
type ContainerState struct {
	Name       string    `json:"name"`
	Image      string    `json:"image"`
	ImageID    string    `json:"image_id"`
	Restarts   int       `json:"restarts"`
	Ready      bool      `json:"ready"`
	LastReason string    `json:"last_reason,omitempty"`
	LastCode   int       `json:"last_code,omitempty"`
	LastEnded  time.Time `json:"last_ended,omitzero"`
}

// Scaler is a HorizontalPodAutoscaler as it stands.
type Scaler struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Target    string `json:"target"`
	Max       int    `json:"max"`
	Current   int    `json:"current"`
	CPU       int    `json:"cpu_percent"`
	CPUTarget int    `json:"cpu_target_percent"`
}

// Endpoints counts the addresses behind a Service.
type Endpoints struct {
	Service string `json:"service"` // namespace/name
	All     int    `json:"all"`
	Ready   int    `json:"ready"`
}

// Event is a failed probe.
type Event struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Message   string `json:"message"`
	Count     int    `json:"count"`
}

func (j *judge) cluster(c *Cluster) {
	ours := map[string]bool{}
	for _, p := range c.Pods {
		ours[p.Namespace+"/"+p.Name] = true
		where := "k8s://" + p.Namespace + "/Pod/" + p.Name
		for _, k := range p.Containers {
			switch killed := k.LastReason == "OOMKilled" && j.seen.At.Sub(k.LastEnded) < 24*time.Hour; {
			case killed:
				j.add("RUN027", finding.Error, where, "status.containerStatuses."+k.Name, "%s was killed for its memory %s ago, and has restarted %d times", k.Name, ago(j.seen.At.Sub(k.LastEnded)), k.Restarts)
			case k.Restarts > 3:
				last := ""
				if k.LastReason != "" {
					last = fmt.Sprintf(", last with %s (exit code %d)", k.LastReason, k.LastCode)
				}
				j.add("RUN027", finding.Error, where, "status.containerStatuses."+k.Name, "%s has restarted %d times%s", k.Name, k.Restarts, last)
			}
		}
	}
	j.images(c)
	for _, s := range c.Scalers {
		owned := slices.ContainsFunc(c.Pods, func(p Pod) bool { return p.Namespace == s.Namespace && p.Owner == s.Target })
		if owned && s.Max > 0 && s.Current >= s.Max && s.CPUTarget > 0 && s.CPU > s.CPUTarget {
			j.add("RUN029", finding.Warning, "k8s://"+s.Namespace+"/HorizontalPodAutoscaler/"+s.Name, "status.currentReplicas",
				"%d of %d replicas run, at %d%% CPU of %d%%", s.Current, s.Max, s.CPU, s.CPUTarget)
		}
	}
	j.services(c)
	seen := map[string]bool{}
	for _, e := range c.Events {
		at := e.Namespace + "/" + e.Pod
		if !ours[at] || seen[at] || !strings.Contains(e.Message, "context deadline exceeded") && !strings.Contains(e.Message, "Client.Timeout exceeded") {
			continue
		}
		seen[at] = true
		which, _, _ := strings.Cut(e.Message, " ")
		j.add("K8S011", finding.Warning, "k8s://"+e.Namespace+"/Pod/"+e.Pod, "events", "the %s probe of pod %s ran into its timeout %d times", strings.ToLower(which), e.Pod, e.Count)
	}
}

// images compares what the pods of each workload run, unless a rollout is going
// on: then several ReplicaSets have pods, and one of them is on its way out.
func (j *judge) images(c *Cluster) {
	type state struct {
		ids       map[string][]string
		revisions map[string]bool
		first     Pod
	}
	by := map[string]*state{}
	var order []string
	for _, p := range c.Pods {
		if p.Ending || p.Phase != "Running" || p.Owner == "" {
			continue
		}
		key := p.Namespace + "/" + p.Owner
		s := by[key]
		if s == nil {
			s = &state{ids: map[string][]string{}, revisions: map[string]bool{}, first: p}
			by[key] = s
			order = append(order, key)
		}
		s.revisions[p.Revision] = true
		for _, k := range p.Containers {
			if k.ImageID != "" {
				id := k.Name + "\x00" + k.ImageID
				s.ids[id] = append(s.ids[id], p.Name)
			}
		}
	}
	for _, key := range order {
		s := by[key]
		names := map[string]int{}
		var parts []string
		for id, pods := range s.ids {
			name, image, _ := strings.Cut(id, "\x00")
			names[name]++
			parts = append(parts, fmt.Sprintf("%s in %d pods", short(image), len(pods)))
		}
		drift := false
		for _, n := range names {
			drift = drift || n > 1
		}
		if !drift || len(s.revisions) > 1 {
			continue
		}
		slices.Sort(parts)
		j.add("RUN028", finding.Warning, "k8s://"+key, "status.containerStatuses.imageID", "the pods of %s run different images under one name: %s", key, strings.Join(parts, ", "))
	}
}

// services are those without a ready pod of the gateway behind them.
func (j *judge) services(c *Cluster) {
	for _, e := range c.Endpoints {
		if e.All > 0 && e.Ready == 0 && j.selects(e.Service) {
			namespace, name, _ := strings.Cut(e.Service, "/")
			j.add("RUN002", finding.Error, "k8s://"+namespace+"/Service/"+name, "endpoints", "none of the %d pods behind the Service %s is ready", e.All, name)
		}
	}
}

// selects reports whether a Service leads to the gateway.
func (j *judge) selects(service string) bool {
	if j.m == nil {
		return false
	}
	for _, u := range j.m.Units {
		if u.Workload == nil {
			continue
		}
		for _, s := range u.Workload.Services {
			if s.Namespace+"/"+s.Name == service {
				return true
			}
		}
	}
	return false
}

// short is an image's digest, or what there is.
func short(id string) string {
	if i := strings.LastIndex(id, "sha256:"); i >= 0 && len(id) >= i+19 {
		return id[i : i+19]
	}
	return id
}

func ago(d time.Duration) string {
	if d < 2*time.Hour {
		return fmt.Sprintf("%.0f minutes", d.Minutes())
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}
