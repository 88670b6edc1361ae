package manifest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// Class is what a YAML document is, judged by its content.
type Class int

// The classes, in the order in which they are tried.
const (
	Unknown       Class = iota // a mapping that is nothing we know
	Kubernetes                 // an object with apiVersion and kind
	Kustomization              // kustomize's own file
	HelmValues                 // values of a LiteLLM chart
	Compose                    // a compose file
	GatewayConfig              // config.yaml of the gateway
	DoctorConfig               // .llmgw-doctor.yaml
	Empty                      // nothing in it
)

// String names the class as reports do.
func (c Class) String() string {
	return [...]string{"unknown", "kubernetes", "kustomization", "helm-values", "compose", "config", "doctor-config", "empty"}[c]
}

// configSections are the keys that make a mapping a gateway config.
var configSections = []string{"model_list", "general_settings", "litellm_settings", "router_settings"}

// Classify says what a document is.
func Classify(doc *config.Node) Class {
	if doc == nil || doc.IsNull() {
		return Empty
	}
	if doc.Kind != config.Map {
		return Unknown
	}
	if text(doc, "apiVersion") != "" && text(doc, "kind") != "" {
		if text(doc, "kind") == "Kustomization" {
			return Kustomization
		}
		return Kubernetes
	}
	for _, key := range configSections {
		if doc.Has(key) {
			return GatewayConfig
		}
	}
	for _, child := range doc.Items() {
		if strings.HasSuffix(child.Key, "_settings") {
			return GatewayConfig
		}
	}
	switch {
	case doc.Has("proxy_config"), doc.Has("masterkeySecretName"), doc.Has("replicaCount"),
		doc.Get("db").Has("useExisting"), doc.Get("db").Has("deployStandalone"),
		IsOwnValues(doc),
		doc.Has("gateway") && (doc.Get("database").Has("writer") || doc.Get("masterKey").Has("secretName")):
		return HelmValues
	case doc.Get("services") != nil && doc.Get("services").Kind == config.Map:
		return Compose
	case doc.Has("include"):
		return GatewayConfig
	case doc.Has("resources") && doc.Get("resources").Kind == config.List && (doc.Has("namespace") || doc.Has("images") || doc.Has("patches") || doc.Len() == 1):
		return Kustomization
	case doc.Len() == 0:
		return Empty
	}
	return Unknown
}

// Object is one Kubernetes object.
type Object struct {
	File        string
	Data        []byte // the whole file
	Node        *config.Node
	APIVersion  string
	Kind        string
	Namespace   string
	Name        string
	NamePos     finding.Position
	Pos         finding.Position // start of the object
	FirstLine   int
	LastLine    int
	Labels      map[string]string
	Annotations map[string]Text
	Source      string // template that rendered it, from a "# Source:" comment
}

// String is Kind/name, with the namespace where one is stated.
func (o *Object) String() string {
	if o == nil {
		return ""
	}
	if o.Namespace != "" {
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
	return o.Kind + " " + o.Name
}

// Parse reads the Kubernetes objects of a YAML stream. List objects are
// unfolded; documents that are no Kubernetes objects are left out. The
// findings are those of the YAML reader. A stream that is not YAML gives an
// error.
func Parse(file string, data []byte) ([]*Object, []finding.Finding, error) {
	docs, findings, err := config.ParseYAMLDocuments(file, data)
	if err != nil {
		return nil, findings, fmt.Errorf("reading manifest: %w", err)
	}
	return Objects(file, data, docs), findings, nil
}

// Objects picks the Kubernetes objects out of documents that were read from
// data.
func Objects(file string, data []byte, docs []*config.Node) []*Object {
	var out []*Object
	for _, doc := range docs {
		if Classify(doc) != Kubernetes {
			continue
		}
		out = append(out, unfold(file, data, doc)...)
	}
	return out
}

func unfold(file string, data []byte, doc *config.Node) []*Object {
	if strings.HasSuffix(text(doc, "kind"), "List") && doc.Get("items") != nil && doc.Get("items").Kind == config.List {
		var out []*Object
		for _, item := range doc.Get("items").Items() {
			if Classify(item) == Kubernetes {
				out = append(out, unfold(file, data, item)...)
			}
		}
		return out
	}
	return []*Object{newObject(file, data, doc)}
}

func newObject(file string, data []byte, doc *config.Node) *Object {
	meta := doc.Get("metadata")
	o := &Object{
		File: file, Data: data, Node: doc,
		APIVersion: text(doc, "apiVersion"), Kind: text(doc, "kind"),
		Namespace: text(meta, "namespace"), Name: text(meta, "name"),
		NamePos: firstPos(meta.Get("name"), meta, doc),
		Pos:     firstPos(doc.At(0), doc),
		Labels:  stringMap(meta.Get("labels")),
	}
	o.FirstLine = doc.Pos.Line
	o.LastLine = o.FirstLine
	if doc.Pos.End <= len(data) && doc.Pos.Offset < doc.Pos.End {
		text := bytes.TrimRight(data[doc.Pos.Offset:doc.Pos.End], "\r\n \t")
		// A line ends at \n, \r\n or a lone \r, as the reader counts them.
		o.LastLine += bytes.Count(text, []byte("\n")) + bytes.Count(text, []byte("\r")) - bytes.Count(text, []byte("\r\n"))
	}
	o.Source = sourceComment(data, doc.Pos.Offset)
	if a := meta.Get("annotations"); a != nil && a.Kind == config.Map {
		o.Annotations = map[string]Text{}
		for _, n := range a.Items() {
			v, _ := n.Scalar()
			o.Annotations[n.Key] = Text{Value: v, Set: true, Pos: n.Where()}
		}
	}
	return o
}

// sourceComment finds the "# Source: chart/templates/x.yaml" line that helm
// writes above a document.
func sourceComment(data []byte, offset int) string {
	if offset > len(data) {
		return ""
	}
	head := data[:offset]
	for range 8 {
		i := bytes.LastIndexByte(bytes.TrimRight(head, "\n"), '\n')
		line := strings.TrimSpace(string(head[i+1:]))
		if s, ok := strings.CutPrefix(line, "# Source: "); ok {
			return strings.TrimSpace(s)
		}
		if strings.HasPrefix(line, "---") || i < 0 {
			return ""
		}
		head = head[:i+1]
	}
	return ""
}

// Embedded is a gateway config that a ConfigMap carries.
type Embedded struct {
	Object *Object
	Key    string
	// Text has the length of the outer file, with everything outside the
	// config blanked, when Exact: then every position in it is a position of
	// the outer file. Otherwise it is the decoded inner text.
	Text  []byte
	Exact bool
	// At is the outer key.
	At finding.Position
}

// EmbeddedConfigs returns the values of a ConfigMap whose key ends in .yaml or
// .yml. Whether they are gateway configs is for the caller to see after
// parsing.
func (o *Object) EmbeddedConfigs(outer []byte) []Embedded {
	if o.Kind != "ConfigMap" {
		return nil
	}
	var out []Embedded
	for _, n := range o.Node.Get("data").Items() {
		if e, ok := EmbeddedText(o, n, outer); ok {
			out = append(out, e)
		}
	}
	return out
}

// EmbeddedText reads one value that holds a YAML file, named by its key.
func EmbeddedText(o *Object, n *config.Node, outer []byte) (Embedded, bool) {
	if n == nil || !strings.HasSuffix(n.Key, ".yaml") && !strings.HasSuffix(n.Key, ".yml") {
		return Embedded{}, false
	}
	return EmbeddedValue(o, n, outer)
}

// EmbeddedValue reads one value that holds a YAML file, whatever its key.
func EmbeddedValue(o *Object, n *config.Node, outer []byte) (Embedded, bool) {
	inner, ok := n.Str()
	if !ok {
		return Embedded{}, false
	}
	e := Embedded{Object: o, Key: n.Key, At: n.Where(), Text: []byte(inner)}
	if n.Style == config.Literal && n.Anchored.IsZero() {
		if blanked, ok := blankAround(outer, n.Pos.Offset, n.Pos.End); ok {
			e.Text, e.Exact = blanked, true
		}
	}
	return e, true
}

// blankAround copies the content lines of the literal block scalar at
// [from, to) into a file that is blank elsewhere. A YAML reader accepts the
// indentation, and all lines, columns and offsets stay those of the outer
// file.
func blankAround(outer []byte, from, to int) ([]byte, bool) {
	if from < 0 || to > len(outer) || from >= to {
		return nil, false
	}
	head := bytes.IndexByte(outer[from:to], '\n')
	if head < 0 {
		return nil, false
	}
	start := from + head + 1
	out := make([]byte, len(outer))
	for i, b := range outer {
		switch {
		case b == '\n' || b == '\r':
			out[i] = b
		case i < start || i >= to:
			out[i] = ' '
		default:
			out[i] = b
		}
	}
	// A document marker counts at column one only; inside a block it is
	// indented, so the inner reader would take it for text.
	lines := bytes.SplitAfter(out[start:to], []byte("\n"))
	first := true
	for _, line := range lines {
		t := bytes.TrimSpace(line)
		if len(t) == 0 || t[0] == '#' {
			continue
		}
		if bytes.Equal(t, []byte("---")) {
			if !first {
				return nil, false
			}
			i := bytes.Index(line, t)
			copy(line[i:], "   ")
		}
		first = false
	}
	return out, true
}

// text is the string under a key, "" when absent or not text.
func text(n *config.Node, key string) string {
	s, _ := n.Get(key).Scalar()
	return s
}

func stringMap(n *config.Node) map[string]string {
	if n == nil || n.Kind != config.Map {
		return nil
	}
	out := make(map[string]string, n.Len())
	for _, c := range n.Items() {
		s, _ := c.Scalar()
		out[c.Key] = s
	}
	return out
}

// firstPos is the position of the first node that is there.
func firstPos(nodes ...*config.Node) finding.Position {
	for _, n := range nodes {
		if n != nil {
			if p := n.Where(); !p.IsZero() {
				return p
			}
		}
	}
	return finding.Position{}
}
