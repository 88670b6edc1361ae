package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
)

// Bounds on what a cluster may cost.
const (
	maxAnswer  = 32 << 20
	maxObjects = 20_000
	pageSize   = "500"
	logLines   = "500"
)

// client talks to one API server.
type client struct {
	a    *Access
	http *http.Client
}

func (a *Access) client(ctx context.Context) (*client, error) {
	t, err := a.transport(ctx)
	if err != nil {
		return nil, err
	}
	return &client{a: a, http: &http.Client{Transport: t}}, nil
}

// refusal is an answer that is not the one asked for.
type refusal struct {
	code    int
	message string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d, %s", r.code, r.message) }

// get asks for one path.
func (c *client) get(ctx context.Context, path string, query url.Values) ([]byte, error) {
	u := *c.a.Server
	u.Path = strings.TrimSuffix(u.Path, "/") + path
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if err := c.a.authorize(r); err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "llmgw-doctor")
	resp, err := c.http.Do(r)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return nil, fmt.Errorf("%s: %s", c.a.Server.Host, redact.Text(err.Error()))
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %s", c.a.Server.Host, redact.Text(err.Error()))
	case len(data) > maxAnswer:
		return nil, fmt.Errorf("%s answers %s with more than %d MiB", c.a.Server.Host, path, maxAnswer>>20)
	case resp.StatusCode != http.StatusOK:
		var status struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(data, &status)
		if status.Message == "" {
			status.Message = http.StatusText(resp.StatusCode)
		}
		return nil, &refusal{resp.StatusCode, redact.Text(strings.Join(strings.Fields(status.Message), " "))}
	}
	return data, nil
}

// kind is a kind of object to list.
type kind struct{ api, plural, kind string }

// kinds are what doctor looks at, as far as the server knows them.
var kinds = []kind{
	{"apps/v1", "deployments", "Deployment"},
	{"apps/v1", "statefulsets", "StatefulSet"},
	{"argoproj.io/v1alpha1", "rollouts", "Rollout"},
	{"batch/v1", "jobs", "Job"},
	{"batch/v1", "cronjobs", "CronJob"},
	{"v1", "services", "Service"},
	{"v1", "configmaps", "ConfigMap"},
	{"v1", "secrets", "Secret"},
	{"networking.k8s.io/v1", "ingresses", "Ingress"},
	{"networking.k8s.io/v1", "networkpolicies", "NetworkPolicy"},
	{"gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute"},
	{"autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"},
	{"keda.sh/v1alpha1", "scaledobjects", "ScaledObject"},
	{"policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"},
	{"monitoring.coreos.com/v1", "servicemonitors", "ServiceMonitor"},
	{"monitoring.coreos.com/v1", "podmonitors", "PodMonitor"},
}

func apiPath(api, namespace, plural string) string {
	root := "/apis/" + api
	if !strings.Contains(api, "/") {
		root = "/api/" + api
	}
	if namespace != "" {
		root += "/namespaces/" + namespace
	}
	return root + "/" + plural
}

// object is one item of a list, whatever its kind.
type object map[string]any

// list reads all pages of a kind. A kind that the server does not have is an
// empty list.
func (c *client) list(ctx context.Context, k kind, namespace string) ([]object, error) {
	var out []object
	query := url.Values{"limit": {pageSize}}
	for {
		data, err := c.get(ctx, apiPath(k.api, namespace, k.plural), query)
		if r, ok := errors.AsType[*refusal](err); ok && r.code == http.StatusNotFound {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		var page struct {
			Metadata struct {
				Continue string `json:"continue"`
			} `json:"metadata"`
			Items []object `json:"items"`
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&page); err != nil {
			return nil, fmt.Errorf("%s answers the list of %s with what is no list: %w", c.a.Server.Host, k.plural, err)
		}
		for _, o := range page.Items {
			o["apiVersion"], o["kind"] = k.api, k.kind
			out = append(out, o)
		}
		if page.Metadata.Continue == "" {
			return out, nil
		}
		if len(out) > maxObjects {
			return nil, fmt.Errorf("more than %d %s; name one namespace", maxObjects, k.plural)
		}
		query.Set("continue", page.Metadata.Continue)
	}
}
