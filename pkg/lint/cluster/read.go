package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/llmgw/llmgw/pkg/lint/live"
)

// Document is one object as a text that can be read like a file.
type Document struct {
	Name string // k8s://namespace/Kind/name
	Data []byte
}

// Snapshot is what a cluster holds of a gateway.
type Snapshot struct {
	Documents []Document
	Cluster   live.Cluster
	Logs      []live.Log
	Missed    []string // what could not be read, and why
}

// Options say what to read.
type Options struct {
	Namespace string // "" is the context's, "*" all
	Timeout   time.Duration
	Now       time.Time
}

// Read reads the objects, pods and logs of a namespace.
func Read(ctx context.Context, a *Access, o Options) (*Snapshot, error) {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Namespace == "" {
		o.Namespace = a.Namespace
	}
	if o.Namespace == "*" {
		o.Namespace = ""
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	c, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	// One question first, so that a server that is away is said once.
	if _, err := c.get(ctx, "/version", nil); err != nil {
		if r, ok := errors.AsType[*refusal](err); !ok || r.code == http.StatusUnauthorized {
			return nil, err
		}
	}
	s := &Snapshot{Cluster: live.Cluster{Server: a.Server.Host, Namespace: o.Namespace}}
	extra := []kind{{"v1", "pods", "Pod"}, {"discovery.k8s.io/v1", "endpointslices", "EndpointSlice"}, {"v1", "events", "Event"}}
	all := slices.Concat(kinds, extra)
	lists := make([][]object, len(all))
	reasons := make([]error, len(all))
	slots := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i, k := range all {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			lists[i], reasons[i] = c.list(ctx, k, o.Namespace)
		})
	}
	wg.Wait()
	refused := 0
	for i, err := range reasons {
		if err == nil {
			continue
		}
		refused++
		s.Missed = append(s.Missed, fmt.Sprintf("%s of %s: %s", all[i].plural, a.Server.Host, err))
	}
	if refused == len(all) {
		return nil, fmt.Errorf("nothing of the cluster can be read: %s", s.Missed[0])
	}
	for i, k := range all {
		switch k.kind {
		case "Pod":
			s.Cluster.Pods = pods(lists[i])
		case "EndpointSlice":
			s.Cluster.Endpoints = endpoints(lists[i])
		case "Event":
			s.Cluster.Events = events(lists[i])
		case "HorizontalPodAutoscaler":
			s.Cluster.Scalers = scalers(lists[i])
		}
	}
	// Last: a document is an object without its status.
	for i := range kinds {
		for _, o := range lists[i] {
			if d, ok := document(o); ok {
				s.Documents = append(s.Documents, d)
			}
		}
	}
	slices.SortStableFunc(s.Documents, func(a, b Document) int { return strings.Compare(a.Name, b.Name) })
	s.readLogs(ctx, c)
	return s, nil
}

// noise is what the server adds to an object and no rule looks at.
var noise = []string{"managedFields", "uid", "resourceVersion", "generation", "creationTimestamp", "selfLink"}

// document writes an object down as kubectl get -o json would, without its
// status and without the values of Secrets.
func document(o object) (Document, bool) {
	meta, _ := o["metadata"].(map[string]any)
	for _, key := range noise {
		delete(meta, key)
	}
	annotations, _ := meta["annotations"].(map[string]any)
	delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
	delete(o, "status")
	kind, name := str(o, "kind"), str(meta, "name")
	if kind == "Job" && owner(meta) != "" {
		return Document{}, false // of a CronJob
	}
	if kind == "Secret" {
		if t := str(o, "type"); strings.HasPrefix(t, "helm.sh/") || t == "kubernetes.io/service-account-token" {
			return Document{}, false
		}
		for _, section := range []string{"data", "stringData"} {
			values, _ := o[section].(map[string]any)
			for key := range values {
				values[key] = "<not read>"
			}
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if name == "" || e.Encode(o) != nil {
		return Document{}, false
	}
	return Document{"k8s://" + str(meta, "namespace") + "/" + kind + "/" + name, b.Bytes()}, true
}

func str(m map[string]any, key string) string { s, _ := m[key].(string); return s }

func sub(m map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		m, _ = m[k].(map[string]any)
	}
	return m
}

func items(m map[string]any, key string) []map[string]any {
	list, _ := m[key].([]any)
	var out []map[string]any
	for _, v := range list {
		if o, ok := v.(map[string]any); ok {
			out = append(out, o)
		}
	}
	return out
}

func num(m map[string]any, key string) int {
	n, _ := m[key].(json.Number)
	v, _ := n.Int64()
	return int(v)
}

func at(m map[string]any, key string) time.Time {
	t, _ := time.Parse(time.RFC3339, str(m, key))
	return t
}

// owner is the workload behind an object: of a ReplicaSet, its Deployment.
func owner(meta map[string]any) string {
	owners := items(meta, "ownerReferences")
	if len(owners) == 0 {
		return ""
	}
	name := str(owners[0], "name")
	if i := strings.LastIndexByte(name, '-'); i > 0 && str(owners[0], "kind") == "ReplicaSet" {
		name = name[:i]
	}
	return name
}

// gateway reports whether a container runs the gateway.
func gateway(name, image string) bool {
	return strings.Contains(image, "litellm") || strings.Contains(image, "llmgw") || name == "litellm" || name == "llmgw"
}

// pods are the pods that run the gateway.
func pods(list []object) []live.Pod {
	var out []live.Pod
	for _, o := range list {
		meta, status := sub(o, "metadata"), sub(o, "status")
		p := live.Pod{Namespace: str(meta, "namespace"), Name: str(meta, "name"), Owner: owner(meta), Phase: str(status, "phase"), Ending: str(meta, "deletionTimestamp") != ""}
		for _, r := range items(meta, "ownerReferences") {
			if str(r, "kind") == "ReplicaSet" {
				p.Revision = str(r, "name")
			}
		}
		for _, c := range items(status, "containerStatuses") {
			if !gateway(str(c, "name"), str(c, "image")) {
				continue
			}
			last := sub(c, "lastState", "terminated")
			ready, _ := c["ready"].(bool)
			p.Containers = append(p.Containers, live.ContainerState{
				Name: str(c, "name"), Image: str(c, "image"), ImageID: str(c, "imageID"), Restarts: num(c, "restartCount"), Ready: ready,
				LastReason: str(last, "reason"), LastEnded: at(last, "finishedAt"), LastCode: num(last, "exitCode"),
			})
		}
		if len(p.Containers) > 0 {
			out = append(out, p)
		}
	}
	return out
}

func endpoints(list []object) []live.Endpoints {
	by := map[string]*live.Endpoints{}
	var order []string
	for _, o := range list {
		meta := sub(o, "metadata")
		key := str(meta, "namespace") + "/" + str(sub(meta, "labels"), "kubernetes.io/service-name")
		if by[key] == nil {
			by[key] = &live.Endpoints{Service: key}
			order = append(order, key)
		}
		for _, e := range items(o, "endpoints") {
			addresses, _ := e["addresses"].([]any)
			n := len(addresses)
			by[key].All += n
			if ready, ok := sub(e, "conditions")["ready"].(bool); !ok || ready {
				by[key].Ready += n
			}
		}
	}
	var out []live.Endpoints
	for _, key := range order {
		out = append(out, *by[key])
	}
	return out
}

// events are the probe failures.
func events(list []object) []live.Event {
	var out []live.Event
	for _, o := range list {
		if str(o, "reason") != "Unhealthy" {
			continue
		}
		about := sub(o, "involvedObject")
		e := live.Event{Namespace: str(about, "namespace"), Pod: str(about, "name"), Message: str(o, "message"), Count: max(1, num(o, "count"))}
		if len(e.Message) > 300 {
			e.Message = strings.ToValidUTF8(e.Message[:300], "")
		}
		out = append(out, e)
	}
	return out
}

func scalers(list []object) []live.Scaler {
	var out []live.Scaler
	for _, o := range list {
		meta, spec, status := sub(o, "metadata"), sub(o, "spec"), sub(o, "status")
		s := live.Scaler{Namespace: str(meta, "namespace"), Name: str(meta, "name"), Target: str(sub(spec, "scaleTargetRef"), "name"), Max: num(spec, "maxReplicas"), Current: num(status, "currentReplicas")}
		for _, m := range items(spec, "metrics") {
			r := sub(m, "resource")
			if str(m, "type") == "ContainerResource" {
				r = sub(m, "containerResource")
			}
			if str(r, "name") == "cpu" {
				s.CPUTarget = num(sub(r, "target"), "averageUtilization")
			}
		}
		for _, m := range items(status, "currentMetrics") {
			r := sub(m, "resource")
			if str(m, "type") == "ContainerResource" {
				r = sub(m, "containerResource")
			}
			if str(r, "name") == "cpu" {
				s.CPU = num(sub(r, "current"), "averageUtilization")
			}
		}
		out = append(out, s)
	}
	return out
}

// readLogs looks through the ends of the logs of some pods.
func (s *Snapshot) readLogs(ctx context.Context, c *client) {
	const most = 10
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, p := range s.Cluster.Pods[:min(most, len(s.Cluster.Pods))] {
		for _, k := range p.Containers {
			wg.Go(func() {
				data, err := c.get(ctx, apiPath("v1", p.Namespace, "pods")+"/"+p.Name+"/log", url.Values{"container": {k.Name}, "tailLines": {logLines}})
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					s.Missed = append(s.Missed, fmt.Sprintf("log of pod %s/%s: %s", p.Namespace, p.Name, err))
					return
				}
				if l, err := live.ReadLog("k8s://"+p.Namespace+"/Pod/"+p.Name+"/log", bytes.NewReader(data)); err == nil {
					s.Logs = append(s.Logs, l)
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(s.Logs, func(a, b live.Log) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.Missed)
}
