package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/llmgw/llmgw/"

// goPackage is what we read of `go list -json`.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// layers are the rooms of internal/ from the bottom up: a room imports only
// rooms of a lower layer (or, below the same name, its own sub-packages).
var layers = [][]string{
	{"redact", "litellm", "finding"},
	{"config"},
	{"startcheck", "pgurl", "redisconn", "atrest", "catalog", "manifest"},
	{"facts"},
}

func layerOf(room string) int {
	for i, rooms := range layers {
		if slices.Contains(rooms, room) {
			return i
		}
	}
	return -1
}

// TestImportsPointOneWay asserts the arrows of docs/ARCHITECTURE.md:
// cmd -> pkg -> internal, products never import each other, and inside the
// proxy only its root composes the rooms.
func TestImportsPointOneWay(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs go list over the whole program; leave -short out for it")
	}
	packages := listPackages(t)
	if len(packages) < 10 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, p := range packages {
		from, ours := strings.CutPrefix(p.ImportPath, module)
		if !ours {
			continue // main
		}
		for _, imported := range p.Imports {
			if why := refused(from, imported); why != "" {
				t.Errorf("%s imports %s: %s", from, imported, why)
			}
		}
	}
}

// refused says why a package must not import another, or nothing.
func refused(from, imported string) string {
	to, ours := strings.CutPrefix(imported, module)
	if !ours {
		if strings.HasPrefix(imported, "helm.sh/helm/") && from != "pkg/render/helm" {
			return "only pkg/render/helm knows Helm"
		}
		if strings.HasPrefix(imported, "k8s.io/client-go") {
			return "no Kubernetes client in the binary"
		}
		return ""
	}
	fromParts, toParts := strings.Split(from, "/"), strings.Split(to, "/")
	switch {
	case toParts[0] == "cmd":
		return "nothing but main imports cmd"
	case to == "internal/testenv" || strings.HasPrefix(to, "internal/testenv/"):
		return "testenv is for tests"
	case to == "templates" && !strings.HasPrefix(from, "pkg/render"):
		return "the chart belongs to render"
	}
	switch fromParts[0] {
	case "templates":
		return "templates only embeds"
	case "internal":
		if toParts[0] != "internal" {
			return "internal imports only downwards"
		}
		if fromParts[1] == toParts[1] || fromParts[1] == "testenv" {
			return ""
		}
		a, b := layerOf(fromParts[1]), layerOf(toParts[1])
		if a < 0 || b < 0 {
			return "a room of internal/ that has no layer yet: add it to layers"
		}
		if a <= b {
			return "internal imports only downwards"
		}
	case "pkg":
		if toParts[0] != "pkg" {
			return ""
		}
		return refusedBetweenProducts(fromParts, toParts)
	}
	return ""
}

func refusedBetweenProducts(from, to []string) string {
	product, other := from[1], to[1]
	if product == other {
		if product == "proxy" && len(from) > 2 {
			switch {
			case len(to) == 2:
				return "a room of the proxy does not import the root that composes it"
			case to[2] != from[2] && to[2] != "call":
				return "rooms of the proxy know only call"
			}
		}
		return ""
	}
	here, there := strings.Join(from, "/"), strings.Join(to, "/")
	switch {
	case product == "proxy" && other == "store":
		return ""
	case strings.HasPrefix(here, "pkg/lint/live") && (other == "migrate" || other == "store"):
		return ""
	}
	return "products never import each other (" + there + ")"
}

func TestTheArrowTestSeesForbiddenImports(t *testing.T) {
	for _, tt := range []struct{ from, to string }{
		{"pkg/lint", module + "pkg/migrate"},
		{"pkg/lint/rule", module + "pkg/store"},
		{"pkg/bench", module + "pkg/proxy/provider"},
		{"pkg/proxy/route", module + "pkg/proxy/provider"},
		{"pkg/proxy/api", module + "pkg/proxy"},
		{"internal/config", module + "internal/facts"},
		{"internal/redact", module + "internal/config"},
		{"internal/facts", module + "pkg/lint"},
		{"pkg/render", "helm.sh/helm/v3/pkg/engine"},
		{"pkg/store", module + "cmd"},
		{"pkg/lint", module + "internal/testenv"},
	} {
		if refused(tt.from, tt.to) == "" {
			t.Errorf("%s -> %s is allowed", tt.from, tt.to)
		}
	}
	for _, tt := range []struct{ from, to string }{
		{"pkg/lint/live", module + "pkg/migrate"},
		{"pkg/proxy", module + "pkg/proxy/route"},
		{"pkg/proxy/route", module + "pkg/proxy/call"},
		{"pkg/proxy/provider/openai", module + "pkg/proxy/provider"},
		{"pkg/proxy", module + "pkg/store"},
		{"pkg/render/helm", "helm.sh/helm/v3/pkg/engine"},
		{"internal/facts", module + "internal/config"},
		{"cmd", module + "pkg/lint"},
	} {
		if why := refused(tt.from, tt.to); why != "" {
			t.Errorf("%s -> %s is refused: %s", tt.from, tt.to, why)
		}
	}
}

// TestEveryDirectDependencyHasAReason compares go.mod with the table in
// docs/ARCHITECTURE.md.
func TestEveryDirectDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		f := strings.Fields(line)
		if len(f) == 2 && strings.HasPrefix(line, "\t") {
			direct[f[0]] = true
			if !bytes.Contains(page, []byte("`"+f[0]+"`")) {
				t.Errorf("docs/ARCHITECTURE.md does not say why %s is needed", f[0])
			}
		}
	}
	_, table, _ := strings.Cut(string(page), "| module | why |")
	for line := range strings.Lines(table) {
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		modules, _, _ := strings.Cut(line[1:], "|")
		for name := range strings.SplitSeq(modules, ",") {
			if name = strings.Trim(name, " `"); !direct[name] {
				t.Errorf("docs/ARCHITECTURE.md explains %s, which go.mod does not name", name)
			}
		}
	}
}
