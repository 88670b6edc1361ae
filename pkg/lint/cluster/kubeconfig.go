// Package cluster reads the objects of a Kubernetes cluster for doctor: over
// plain HTTPS, with what a kubeconfig says about address and credentials, and
// with get and list only. Values of Secrets are dropped where they arrive.
package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
)

// Access is how to reach a cluster.
type Access struct {
	Server    *url.URL
	Namespace string // of the context; "default" when it names none
	Context   string

	ca         []byte
	serverName string
	insecure   bool
	proxy      *url.URL
	token      redact.Secret
	tokenFile  string
	user       string
	password   redact.Secret
	cert, key  []byte
	plugin     *plugin
}

// plugin is a program that hands out credentials.
type plugin struct {
	version, command string
	args, env        []string
	dir              string
	cluster          bool
}

// ParseKubeconfig reads one context of a kubeconfig, the current one when name
// is "". Paths in it are relative to dir.
func ParseKubeconfig(file string, data []byte, dir, name string) (*Access, error) {
	root, _, err := config.ParseYAML(file, data)
	if err != nil {
		return nil, fmt.Errorf("%s is not a kubeconfig: %w", file, err)
	}
	if !root.Has("clusters") || !root.Has("contexts") {
		return nil, fmt.Errorf("%s is not a kubeconfig: it has no clusters and contexts", file)
	}
	if name == "" {
		if name = text(root.Get("current-context")); name == "" {
			return nil, fmt.Errorf("%s has no current-context; name one with --context", file)
		}
	}
	context := named(root.Get("contexts"), name).Get("context")
	if context == nil {
		return nil, fmt.Errorf("%s has no context %q; it has %s", file, name, strings.Join(names(root.Get("contexts")), ", "))
	}
	at := text(context.Get("cluster"))
	c := named(root.Get("clusters"), at).Get("cluster")
	if c == nil {
		return nil, fmt.Errorf("%s: the context %s names the cluster %q, which is not there", file, name, at)
	}
	a := &Access{Context: name, Namespace: text(context.Get("namespace"))}
	if a.Namespace == "" {
		a.Namespace = "default"
	}
	if a.Server, err = url.Parse(text(c.Get("server"))); err != nil || a.Server.Host == "" || a.Server.Scheme != "https" && a.Server.Scheme != "http" {
		return nil, fmt.Errorf("%s: the server of the cluster %s is no http address", file, at)
	}
	if p := text(c.Get("proxy-url")); p != "" {
		if a.proxy, err = url.Parse(p); err != nil || a.proxy.Host == "" {
			return nil, fmt.Errorf("%s: the proxy-url of the cluster %s is no address", file, at)
		}
	}
	a.serverName = text(c.Get("tls-server-name"))
	a.insecure, _ = c.Get("insecure-skip-tls-verify").Bool()
	if a.ca, err = blob(c, "certificate-authority", dir); err != nil {
		return nil, fmt.Errorf("%s, cluster %s: %w", file, at, err)
	}
	who := text(context.Get("user"))
	if who == "" {
		return a, nil
	}
	u := named(root.Get("users"), who).Get("user")
	if u == nil {
		return nil, fmt.Errorf("%s: the context %s names the user %q, which is not there", file, name, who)
	}
	return a, a.credentials(u, dir, file, who)
}

func (a *Access) credentials(u *config.Node, dir, file, who string) (err error) {
	a.token, a.password = redact.New(text(u.Get("token"))), redact.New(text(u.Get("password")))
	a.user = text(u.Get("username"))
	if f := text(u.Get("tokenFile")); f != "" {
		a.tokenFile = onDisk(dir, f)
	}
	if a.cert, err = blob(u, "client-certificate", dir); err == nil {
		a.key, err = blob(u, "client-key", dir)
	}
	if err != nil {
		return fmt.Errorf("%s, user %s: %w", file, who, err)
	}
	if (a.cert == nil) != (a.key == nil) {
		return fmt.Errorf("%s, user %s: client-certificate and client-key go together, and one is missing", file, who)
	}
	if u.Has("auth-provider") {
		return fmt.Errorf("%s, user %s: auth-provider was removed from Kubernetes; use an exec plugin or a token", file, who)
	}
	e := u.Get("exec")
	if e == nil {
		return nil
	}
	p := &plugin{version: text(e.Get("apiVersion")), command: text(e.Get("command")), dir: dir}
	if p.command == "" {
		return fmt.Errorf("%s, user %s: exec names no command", file, who)
	}
	if strings.ContainsRune(p.command, filepath.Separator) {
		p.command = onDisk(dir, p.command)
	}
	for _, n := range e.Get("args").Items() {
		p.args = append(p.args, text(n))
	}
	for _, n := range e.Get("env").Items() {
		p.env = append(p.env, text(n.Get("name"))+"="+text(n.Get("value")))
	}
	p.cluster, _ = e.Get("provideClusterInfo").Bool()
	a.plugin = p
	return nil
}

// InCluster is the access of a pod to the cluster it runs in.
func InCluster() (*Access, error) {
	const dir = "/var/run/secrets/kubernetes.io/serviceaccount/"
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return nil, errors.New("this is no pod: KUBERNETES_SERVICE_HOST is not set")
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	a := &Access{Server: &url.URL{Scheme: "https", Host: host + ":" + port}, tokenFile: dir + "token", Namespace: "default", Context: "in-cluster"}
	var err error
	if a.ca, err = os.ReadFile(dir + "ca.crt"); err != nil {
		return nil, fmt.Errorf("the pod has no service account: %w", err)
	}
	if ns, err := os.ReadFile(dir + "namespace"); err == nil {
		a.Namespace = strings.TrimSpace(string(ns))
	}
	return a, nil
}

func text(n *config.Node) string { s, _ := n.Scalar(); return s }

func named(list *config.Node, name string) *config.Node {
	for _, n := range list.Items() {
		if text(n.Get("name")) == name {
			return n
		}
	}
	return nil
}

func names(list *config.Node) []string {
	var out []string
	for _, n := range list.Items() {
		out = append(out, text(n.Get("name")))
	}
	return out
}

func onDisk(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// blob is what key-data holds, or the file that key names.
func blob(n *config.Node, key, dir string) ([]byte, error) {
	if s := text(n.Get(key + "-data")); s != "" {
		data, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
		if err != nil {
			return nil, fmt.Errorf("%s-data is not base64", key)
		}
		return data, nil
	}
	if f := text(n.Get(key)); f != "" {
		data, err := os.ReadFile(onDisk(dir, f))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		return data, nil
	}
	return nil, nil
}

// transport opens connections as the access says.
func (a *Access) transport(ctx context.Context) (http.RoundTripper, error) {
	if a.plugin != nil {
		if err := a.runPlugin(ctx); err != nil {
			return nil, err
		}
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.serverName, InsecureSkipVerify: a.insecure}
	if a.ca != nil {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(a.ca) {
			return nil, errors.New("the certificate-authority holds no certificate")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	if a.cert != nil {
		pair, err := tls.X509KeyPair(a.cert, a.key)
		if err != nil {
			return nil, fmt.Errorf("the client certificate cannot be used: %w", err)
		}
		t.TLSClientConfig.Certificates = []tls.Certificate{pair}
	}
	if a.proxy != nil {
		t.Proxy = http.ProxyURL(a.proxy)
	}
	return t, nil
}

// authorize puts the credentials on a request.
func (a *Access) authorize(r *http.Request) error {
	token := a.token.Reveal()
	if token == "" && a.tokenFile != "" {
		data, err := os.ReadFile(a.tokenFile)
		if err != nil {
			return fmt.Errorf("tokenFile: %w", err)
		}
		token = strings.TrimSpace(string(data))
	}
	switch {
	case token != "":
		r.Header.Set("Authorization", "Bearer "+token)
	case a.user != "":
		r.SetBasicAuth(a.user, a.password.Reveal())
	}
	return nil
}

// runPlugin asks the program of the kubeconfig for credentials, as kubectl
// does; nobody can be asked for a password.
func (a *Access) runPlugin(ctx context.Context) error {
	p := a.plugin
	version := p.version
	if version == "" {
		version = "client.authentication.k8s.io/v1"
	}
	spec := map[string]any{"interactive": false}
	if p.cluster {
		spec["cluster"] = map[string]any{"server": a.Server.String(), "certificate-authority-data": a.ca, "insecure-skip-tls-verify": a.insecure, "tls-server-name": a.serverName}
	}
	info, err := json.Marshal(map[string]any{"apiVersion": version, "kind": "ExecCredential", "spec": spec})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.command, p.args...)
	cmd.Env = append(append(os.Environ(), p.env...), "KUBERNETES_EXEC_INFO="+string(info))
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		reason := err.Error()
		if e, ok := errors.AsType[*exec.ExitError](err); ok && len(e.Stderr) > 0 {
			reason = redact.Text(strings.Join(strings.Fields(string(e.Stderr)), " "))
		}
		return fmt.Errorf("the kubeconfig's exec plugin %s failed: %s", filepath.Base(p.command), reason)
	}
	var answer struct {
		Status struct {
			Token redactedText `json:"token"`
			Cert  string       `json:"clientCertificateData"`
			Key   redactedText `json:"clientKeyData"`
		} `json:"status"`
	}
	if err := json.Unmarshal(out, &answer); err != nil || answer.Status.Token == "" && answer.Status.Cert == "" {
		return fmt.Errorf("the kubeconfig's exec plugin %s gave no credentials", filepath.Base(p.command))
	}
	a.token = redact.New(string(answer.Status.Token))
	if answer.Status.Cert != "" {
		a.cert, a.key = []byte(answer.Status.Cert), []byte(answer.Status.Key)
	}
	return nil
}

// redactedText is a text that does not print.
type redactedText string

func (redactedText) String() string { return "***" }
