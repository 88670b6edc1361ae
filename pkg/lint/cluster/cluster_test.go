package cluster

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/live"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const now = "2026-11-20T12:00:00Z"

func stamp(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, now)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// The objects of a small cluster, as an API server lists them.
var deployment = `{"metadata":{"name":"litellm","namespace":"ai","uid":"u1","managedFields":[{"manager":"kubectl"}],"labels":{"app":"litellm"}},
 "spec":{"replicas":2,"selector":{"matchLabels":{"app":"litellm"}},"template":{"metadata":{"labels":{"app":"litellm"}},"spec":{"containers":[
  {"name":"litellm","image":"ghcr.io/berriai/litellm:v1.91.4","args":["--config","/app/config.yaml"],
   "envFrom":[{"secretRef":{"name":"litellm-env"}}],
   "readinessProbe":{"httpGet":{"path":"/health","port":4000}}}]}}},
 "status":{"readyReplicas":1}}`

var secret = `{"metadata":{"name":"litellm-env","namespace":"ai"},"type":"Opaque","data":{"LITELLM_MASTER_KEY":"` + base64.StdEncoding.EncodeToString([]byte("sk-planted-secret")) + `","DATABASE_URL":"eA=="}}`

func pod(name, image, id, state string, restarts int) string {
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"ai","ownerReferences":[{"kind":"ReplicaSet","name":"litellm-5d4"}]},
 "status":{"phase":"Running","containerStatuses":[{"name":"litellm","image":%q,"imageID":%q,"ready":true,"restartCount":%d,"lastState":%s}]}}`, name, image, id, restarts, state)
}

// server answers as an API server does, one object a page.
func server(t *testing.T, lists map[string][]string, secure bool) *httptest.Server {
	t.Helper()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			t.Errorf("%s %s is no read", r.Method, r.URL)
		}
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"kind":"Status","message":"Unauthorized"}`)
			return
		}
		path := strings.TrimPrefix(r.URL.Path, "/prefix")
		switch {
		case path == "/version":
			fmt.Fprint(w, `{"major":"1"}`)
			return
		case strings.HasSuffix(path, "/log"):
			fmt.Fprint(w, "INFO: started\npq: sorry, too many clients already\n")
			return
		}
		list, ok := lists[path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"kind":"Status","message":"the server could not find the requested resource"}`)
			return
		}
		if len(list) == 1 && list[0] == "forbidden" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"kind":"Status","message":"secrets is forbidden"}`)
			return
		}
		at := 0
		fmt.Sscan(r.URL.Query().Get("continue"), &at)
		next := ""
		if at+1 < len(list) {
			next = fmt.Sprint(at + 1)
		}
		var items []json.RawMessage
		if at < len(list) {
			items = append(items, json.RawMessage(list[at]))
		}
		json.NewEncoder(w).Encode(map[string]any{"kind": "List", "metadata": map[string]any{"continue": next}, "items": items})
	})
	s := httptest.NewUnstartedServer(handler)
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func kubeconfig(server, user, cluster string) []byte {
	return []byte(`apiVersion: v1
kind: Config
current-context: prod
contexts:
  - {name: prod, context: {cluster: c, user: u, namespace: ai}}
clusters:
  - name: c
    cluster: {server: "` + server + `/prefix"` + cluster + `}
users:
  - name: u
    user: ` + user + "\n")
}

func access(t *testing.T, data []byte) *Access {
	t.Helper()
	a, err := ParseKubeconfig("kubeconfig", data, t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func small() map[string][]string {
	killed := `{"terminated":{"reason":"OOMKilled","exitCode":137,"finishedAt":"2026-11-20T11:30:00Z"}}`
	return map[string][]string{
		"/apis/apps/v1/namespaces/ai/deployments": {deployment},
		"/api/v1/namespaces/ai/services":          {`{"metadata":{"name":"litellm","namespace":"ai"},"spec":{"selector":{"app":"litellm"},"ports":[{"port":4000}]}}`},
		"/api/v1/namespaces/ai/secrets":           {secret},
		"/api/v1/namespaces/ai/configmaps":        {},
		"/api/v1/namespaces/ai/pods": {
			pod("litellm-5d4-a", "ghcr.io/berriai/litellm:main", "x@sha256:aaaaaaaaaaaaaaaaaaaa", killed, 1),
			pod("litellm-5d4-b", "ghcr.io/berriai/litellm:main", "x@sha256:bbbbbbbbbbbbbbbbbbbb", `{}`, 7),
			`{"metadata":{"name":"other","namespace":"ai"},"status":{"containerStatuses":[{"name":"web","image":"nginx","restartCount":99}]}}`,
		},
		"/apis/autoscaling/v2/namespaces/ai/horizontalpodautoscalers": {`{"metadata":{"name":"litellm","namespace":"ai"},"spec":{"maxReplicas":2,"scaleTargetRef":{"kind":"Deployment","name":"litellm"},"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"averageUtilization":60}}}]},"status":{"currentReplicas":2,"currentMetrics":[{"type":"Resource","resource":{"name":"cpu","current":{"averageUtilization":92}}}]}}`},
		"/apis/discovery.k8s.io/v1/namespaces/ai/endpointslices":      {`{"metadata":{"name":"litellm-x","namespace":"ai","labels":{"kubernetes.io/service-name":"litellm"}},"endpoints":[{"addresses":["10.0.0.1"],"conditions":{"ready":false}}]}`},
		"/api/v1/namespaces/ai/events":                                {`{"reason":"Unhealthy","count":12,"message":"Readiness probe failed: Get \"http://10.0.0.1:4000/health\": context deadline exceeded","involvedObject":{"namespace":"ai","name":"litellm-5d4-a"}}`},
	}
}

// A cluster's objects pass through the same rules as files, and what its pods
// do is judged beside them.
func TestAClusterIsJudgedLikeFiles(t *testing.T) {
	s := server(t, small(), false)
	found, err := Read(context.Background(), access(t, kubeconfig(s.URL, "{token: right}", "")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Missed) > 0 {
		t.Errorf("missed %q", found.Missed)
	}
	o := lint.Options{NoSettings: true, Now: stamp(t), Only: []string{"K8S008", "K8S011", "RUN002", "RUN027", "RUN028", "RUN029", "RUN032"}}
	all := ""
	for _, d := range found.Documents {
		o.Documents = append(o.Documents, lint.Document{Name: d.Name, Data: d.Data})
		all += string(d.Data)
	}
	for _, word := range []string{"sk-planted", "c2stcGxhbnRlZ", "managedFields", `"status"`, `"uid"`} {
		if strings.Contains(all, word) {
			t.Errorf("a document holds %s", word)
		}
	}
	o.Live = func(_ context.Context, m *rule.Model) lint.Sight {
		return lint.Sight{Hits: live.Judge(&live.Observation{At: stamp(t), Cluster: &found.Cluster, Logs: found.Logs}, m)}
	}
	r, err := lint.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, h := range r.Findings {
		got = append(got, h.ID+" "+h.Pos.File+": "+h.Message)
	}
	slices.Sort(got)
	want := []string{
		"K8S008 k8s://ai/Deployment/litellm: ",
		"K8S011 k8s://ai/Deployment/litellm: ",
		"K8S011 k8s://ai/Pod/litellm-5d4-a: the readiness probe of pod litellm-5d4-a ran into its timeout 12 times",
		"RUN002 k8s://ai/Service/litellm: none of the 1 pods behind the Service litellm is ready",
		"RUN027 k8s://ai/Pod/litellm-5d4-a: litellm was killed for its memory 30 minutes ago, and has restarted 1 times",
		"RUN027 k8s://ai/Pod/litellm-5d4-b: litellm has restarted 7 times",
		"RUN028 k8s://ai/litellm: the pods of ai/litellm run different images under one name: sha256:aaaaaaaaaaaa in 1 pods, sha256:bbbbbbbbbbbb in 1 pods",
		"RUN029 k8s://ai/HorizontalPodAutoscaler/litellm: 2 of 2 replicas run, at 92% CPU of 60%",
		"RUN032 k8s://ai/Pod/litellm-5d4-a/log: too many clients already; 1 such lines",
		"RUN032 k8s://ai/Pod/litellm-5d4-b/log: too many clients already; 1 such lines",
	}
	if len(got) != len(want) {
		t.Fatalf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("found %s\nwant  %s", got[i], want[i])
		}
	}
	// The Secret's keys are known, so the environment is closed.
	for _, h := range r.Skipped {
		t.Errorf("skipped %+v", h)
	}
}

func TestWhatMayNotBeReadIsNamedAndTheRestIsRead(t *testing.T) {
	lists := small()
	lists["/api/v1/namespaces/ai/secrets"] = []string{"forbidden"}
	s := server(t, lists, false)
	found, err := Read(context.Background(), access(t, kubeconfig(s.URL, "{token: right}", "")), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Missed) != 1 || !strings.Contains(found.Missed[0], "secrets of ") || !strings.Contains(found.Missed[0], "403, secrets is forbidden") {
		t.Errorf("missed %q", found.Missed)
	}
	if len(found.Documents) != 3 {
		t.Errorf("%d documents", len(found.Documents))
	}
}

func TestAccess(t *testing.T) {
	plain := server(t, small(), false)
	secure := server(t, small(), true)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	script := filepath.Join(dir, "plugin")
	for name, text := range map[string]string{
		token:  "right\n",
		script: "#!/bin/sh\ncase \"$KUBERNETES_EXEC_INFO\" in *ExecCredential*) ;; *) exit 3;; esac\n[ \"$1\" = fail ] && { echo 'login first' >&2; exit 1; }\necho '{\"kind\":\"ExecCredential\",\"status\":{\"token\":\"'$WORD'\"}}'\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		config []byte
		fails  string
	}{
		"a token":                     {kubeconfig(plain.URL, "{token: right}", ""), ""},
		"a token in a file":           {kubeconfig(plain.URL, "{tokenFile: "+token+"}", ""), ""},
		"a plugin":                    {kubeconfig(plain.URL, "{exec: {command: "+script+", env: [{name: WORD, value: right}]}}", ""), ""},
		"a plugin that fails":         {kubeconfig(plain.URL, "{exec: {command: "+script+", args: [fail]}}", ""), "exec plugin plugin failed: login first"},
		"a plugin that is not there":  {kubeconfig(plain.URL, "{exec: {command: "+dir+"/none}}", ""), "exec plugin none failed"},
		"the wrong token":             {kubeconfig(plain.URL, "{token: wrong}", ""), "401, Unauthorized"},
		"TLS with the cluster's CA":   {kubeconfig(secure.URL, "{token: right}", ", certificate-authority-data: "+ca), ""},
		"TLS with an unknown CA":      {kubeconfig(secure.URL, "{token: right}", ""), "certificate"},
		"TLS that is not verified":    {kubeconfig(secure.URL, "{token: right}", ", insecure-skip-tls-verify: true"), ""},
		"a server that is not there":  {kubeconfig("http://127.0.0.1:1", "{token: right}", ""), "connection refused"},
		"a CA that is no certificate": {kubeconfig(plain.URL, "{token: right}", ", certificate-authority-data: eA=="), "holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			a := access(t, c.config)
			_, err := Read(context.Background(), a, Options{Timeout: 10 * time.Second})
			switch {
			case c.fails == "" && err != nil:
				t.Error(err)
			case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
				t.Errorf("%v, want %s", err, c.fails)
			}
		})
	}
}

func TestAKubeconfigThatCannotBeUsedSaysWhy(t *testing.T) {
	for name, c := range map[string]struct{ text, context, want string }{
		"no YAML":                {"a: [", "", "is not a kubeconfig"},
		"something else":         {"model_list: []", "", "no clusters and contexts"},
		"no current context":     {"clusters: []\ncontexts: []", "", "name one with --context"},
		"an unknown context":     {"clusters: []\ncontexts: [{name: a, context: {}}]", "b", `no context "b"; it has a`},
		"an unknown cluster":     {"clusters: []\ncontexts: [{name: a, context: {cluster: c}}]", "a", `names the cluster "c"`},
		"no server":              {"clusters: [{name: c, cluster: {}}]\ncontexts: [{name: a, context: {cluster: c}}]", "a", "is no http address"},
		"an unknown user":        {"clusters: [{name: c, cluster: {server: \"http://x\"}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nusers: []", "a", `names the user "u"`},
		"half a certificate":     {"clusters: [{name: c, cluster: {server: \"http://x\"}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {client-certificate-data: eA==}}]", "a", "go together"},
		"data that is no base64": {"clusters: [{name: c, cluster: {server: \"http://x\", certificate-authority-data: \"%\"}}]\ncontexts: [{name: a, context: {cluster: c}}]", "a", "is not base64"},
		"a file that is away":    {"clusters: [{name: c, cluster: {server: \"http://x\", certificate-authority: none.crt}}]\ncontexts: [{name: a, context: {cluster: c}}]", "a", "no such file"},
		"an old provider":        {"clusters: [{name: c, cluster: {server: \"http://x\"}}]\ncontexts: [{name: a, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {auth-provider: {name: gcp}}}]", "a", "use an exec plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKubeconfig("kubeconfig", []byte(c.text), t.TempDir(), c.context)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// Any bytes are a kubeconfig or an error, and an answer of any shape is read.
func FuzzKubeconfig(f *testing.F) {
	f.Add(kubeconfig("http://x", "{token: a}", ""), "")
	f.Add([]byte("clusters: [1]\ncontexts: {a: b}\nusers: [[]]\ncurrent-context: [x]"), "a")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		a, err := ParseKubeconfig("kubeconfig", data, dir, name)
		if err == nil && (a.Server == nil || a.Namespace == "") {
			t.Fatal("an access without server or namespace")
		}
	})
}

func FuzzObjects(f *testing.F) {
	for _, list := range small() {
		for _, o := range list {
			f.Add([]byte(o))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var o object
		if json.Unmarshal(data, &o) != nil || o == nil {
			return
		}
		pods([]object{o})
		endpoints([]object{o})
		events([]object{o})
		scalers([]object{o})
		document(o)
	})
}
