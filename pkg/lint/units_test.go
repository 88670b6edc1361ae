package lint_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/lint"
)

const pod = `apiVersion: apps/v1
kind: Deployment
metadata: {name: NAME}
spec:
  template:
    spec:
      containers:
        - name: litellm
          image: litellm:v1.91.4
          ENV
`

func deployment(name, env string) string {
	return strings.NewReplacer("NAME", name, "ENV", env).Replace(pod)
}

// Configs and workloads that lie together belong together.
func TestAConfigIsJudgedWithTheWorkloadsNearIt(t *testing.T) {
	files := map[string]string{
		"dev/config.yaml":  "model_list: []\ngeneral_settings: {master_key: os.environ/DEV_KEY}\n",
		"dev/k8s.yaml":     deployment("dev", "env: [{name: DEV_KEY, value: x}]"),
		"prod/config.yaml": "model_list: []\ngeneral_settings: {master_key: os.environ/PROD_KEY}\n",
		"prod/k8s.yaml":    deployment("prod", "env: [{name: PROD_KEY, value: x}]"),
	}
	r := run(t, files, lint.Options{Only: []string{"CFG007"}})
	if len(r.Findings) > 0 {
		t.Errorf("found %v", r.Findings)
	}
	if len(r.Model.Units) != 2 {
		t.Errorf("%d units", len(r.Model.Units))
	}
}

// An absence is proven only where every source of the environment was read.
func TestAbsencesNeedAClosedEnvironment(t *testing.T) {
	config := "model_list: []\ngeneral_settings: {alerting: [slack], master_key: os.environ/MASTER}\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"a config alone proves nothing": {
			map[string]string{"config.yaml": config}, []string{"CFG014"},
		},
		"an environment file is the whole environment": {
			map[string]string{"config.yaml": config, "gw.env": "A=b\n"}, []string{"CFG007", "LOG008", "SEC001"},
		},
		"so is a container without further sources": {
			map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "env: []")}, []string{"CFG007", "LOG008", "SEC001"},
		},
		"a secret that is not among the inputs opens it": {
			map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "envFrom: [{secretRef: {name: s}}]")}, []string{"CFG014"},
		},
		"a secret that is among the inputs closes it again": {
			map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "envFrom: [{secretRef: {name: s}}]") +
				"---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {MASTER: sk-4b1f0c9d7e6a5832c1d0e9f8a7b6c5d4, SLACK_WEBHOOK_URL: \"https://hooks.slack.com/x\"}\n"}, nil,
		},
		"a variable from a secret is present, its value unknown": {
			map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "env: [{name: MASTER, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: SLACK_WEBHOOK_URL, valueFrom: {secretKeyRef: {name: s, key: w}}}]")}, nil,
		},
		"an empty variable is no master key": {
			map[string]string{"config.yaml": config, "gw.env": "SLACK_WEBHOOK_URL=https://hooks.slack.com/x\nMASTER=\n"}, []string{"SEC001"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c.files, lint.Options{Only: []string{"CFG007", "CFG014", "SEC001", "LOG008"}})
			if got := ids(r); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

// A value behind a reference is judged where it stands.
func TestALiteralIsReportedWhereItStands(t *testing.T) {
	config := "model_list: []\ngeneral_settings:\n  master_key: os.environ/MASTER\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"in the config":           {map[string]string{"config.yaml": "general_settings:\n  master_key: sk-1234\n"}, "config.yaml:2:3"},
		"in an environment file":  {map[string]string{"config.yaml": config, "gw.env": "A=b\nMASTER=sk-1234\n"}, "gw.env:2:1"},
		"in a container":          {map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "env:\n          - name: MASTER\n            value: sk-1234")}, "k8s.yaml:11:13"},
		"in a Secret's manifest":  {map[string]string{"config.yaml": config, "k8s.yaml": deployment("a", "envFrom: [{secretRef: {name: s}}]") + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  MASTER: c2stMTIzNA==\n"}, "k8s.yaml:16:3"},
		"in a ConfigMap's config": {map[string]string{"k8s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  config.yaml: |\n    general_settings:\n      master_key: sk-1234\n"}, "k8s.yaml:7:7"},
		"in a folded ConfigMap":   {map[string]string{"k8s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  config.yaml: \"general_settings:\\n  master_key: sk-1234\\n\"\n"}, "k8s.yaml:5:3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c.files, lint.Options{Only: []string{"SEC002"}})
			if len(r.Findings) != 1 || r.Findings[0].Pos.String() != c.want {
				t.Errorf("found %+v, want one at %s", r.Findings, c.want)
			}
		})
	}
}
