package render_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/facts"
)

// TestOtherValidatorsAgree runs what other people check manifests with over
// every fixture, where the tool is in the PATH.
func TestOtherValidatorsAgree(t *testing.T) {
	t.Parallel()
	tools := []struct {
		name string
		args func(f fixture) []string
	}{
		{"kubectl-validate", func(f fixture) []string {
			v := f.o.KubeVersion
			if v == "" {
				v = "1.30" // the newest schemas the tool carries
			}
			return []string{"--version", v}
		}},
		{"kube-score", func(f fixture) []string {
			args := []string{"score", "--kubernetes-version", "v1.30", "--exit-one-on-warning", "-o", "ci",
				"--ignore-test", "container-image-pull-policy",
				// No NetworkPolicy is rendered.
				"--ignore-test", "pod-networkpolicy",
				"--enable-optional-test", "container-memory-requests-equal-limits",
				"--enable-optional-test", "container-seccomp-profile",
				"--enable-optional-test", "container-ephemeral-storage-request-equals-limit",
				"--enable-optional-test", "container-ports-check"}
			if f.o.Target == facts.LiteLLM && f.o.RunAsUser.Value < 10000 {
				args = append(args, "--ignore-test", "container-security-context-user-group-id")
			}
			if f.o.WritableRoot {
				args = append(args, "--ignore-test", "container-security-context-readonlyrootfilesystem")
			}
			return args
		}},
		{"kube-linter", func(f fixture) []string {
			args := []string{"lint"}
			if f.o.WritableRoot {
				args = append(args, "--exclude", "no-read-only-root-fs")
			}
			return args
		}},
	}
	for _, tool := range tools {
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(tool.name)
			if err != nil {
				t.Skipf("%s is not in the PATH: its opinion of the manifests is not asked; install it for that", tool.name)
			}
			for _, f := range fixtures() {
				t.Run(f.name, func(t *testing.T) {
					res, err := run(t, f.o, production)
					if err != nil {
						t.Fatal(err)
					}
					file := filepath.Join(t.TempDir(), "all.yaml")
					text := stream(t, res)
					if f.o.Secrets == "external" && tool.name == "kubectl-validate" {
						text = without(text, "ExternalSecret")
					}
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
					out, err := exec.CommandContext(t.Context(), path, append(tool.args(f), file)...).CombinedOutput()
					if err != nil {
						t.Errorf("%v\n%s", err, complaints(out))
					}
				})
			}
		})
	}
}

// without leaves out the documents of a kind that only a cluster with the
// right extension knows.
func without(text, kind string) string {
	var kept []string
	for _, doc := range strings.Split(text, "---\n") {
		if !strings.Contains(doc, "kind: "+kind+"\n") {
			kept = append(kept, doc)
		}
	}
	return strings.Join(kept, "---\n")
}

func complaints(out []byte) []byte {
	var kept [][]byte
	for _, line := range bytes.Split(out, []byte("\n")) {
		if !bytes.HasPrefix(line, []byte("[OK]")) && !bytes.HasPrefix(line, []byte("[SKIPPED]")) {
			kept = append(kept, line)
		}
	}
	return bytes.Join(kept, []byte("\n"))
}
