package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The objects of a cluster are inputs like files; what a server refuses is
// said, and a server that is away is exit code 3.
func TestDoctorReadsACluster(t *testing.T) {
	deployment := map[string]any{
		"metadata": map[string]any{"name": "litellm", "namespace": "ai"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{
			"name": "litellm", "image": "ghcr.io/berriai/litellm:v1.91.4", "args": []string{"--num_workers", "4"},
		}}}}},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/apis/apps/v1/namespaces/ai/deployments":
			json.NewEncoder(w).Encode(map[string]any{"items": []any{deployment}})
		case "/api/v1/namespaces/ai/secrets":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"message":"secrets is forbidden"}`)
		case "/version":
			fmt.Fprint(w, "{}")
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	write := func(at string) {
		text := "current-context: x\ncontexts: [{name: x, context: {cluster: c, namespace: ai}}]\nclusters: [{name: c, cluster: {server: \"" + at + "\"}}]\n"
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Execute(append([]string{"llmgw", "doctor", "--kubeconfig", config, "--only", "K8S005"}, args...), Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
		return code, out.String(), errs.String()
	}
	write(server.URL)
	code, out, errs := run("--fail-on", "warning")
	if code != 1 || !strings.Contains(out, "k8s://ai/Deployment/litellm:") || !strings.Contains(out, "warning K8S005 workers-per-pod: 4") {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	if !strings.Contains(errs, "secrets of ") || !strings.Contains(errs, "403, secrets is forbidden") {
		t.Errorf("it does not say what it may not read: %s", errs)
	}
	if code, out, errs = run("-n", "other"); code != 2 || !strings.Contains(errs, "nothing to lint") {
		t.Errorf("an empty namespace: exit %d\n%s\n%s", code, out, errs)
	}
	if code, _, errs = run("--context", "y"); code != 2 || !strings.Contains(errs, `no context "y"; it has x`) {
		t.Errorf("an unknown context: exit %d\n%s", code, errs)
	}
	write("http://127.0.0.1:1")
	if code, out, errs = run(); code != 3 || !strings.Contains(errs, "connection refused") {
		t.Errorf("a server that is away: exit %d\n%s\n%s", code, out, errs)
	}
}
