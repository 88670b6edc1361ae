package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Object is one rendered Kubernetes object.
type Object struct {
	Kind string
	Name string
	// YAML is the canonical text: apiVersion, kind and metadata first, every
	// other key in alphabetical order.
	YAML []byte
	body map[string]any
}

// order is how objects are applied one after the other: what others refer to
// comes first.
var order = []string{
	"Namespace", "ServiceAccount", "Secret", "ExternalSecret", "ConfigMap", "NetworkPolicy", "Job", "Service",
	"PodDisruptionBudget", "Deployment", "HorizontalPodAutoscaler",
}

// parseObjects reads what the engine rendered, in canonical order and form.
func parseObjects(texts map[string]string) ([]Object, error) {
	var objects []Object
	for _, path := range slices.Sorted(maps.Keys(texts)) {
		if strings.HasSuffix(path, "NOTES.txt") {
			continue
		}
		dec := yaml.NewDecoder(strings.NewReader(texts[path]))
		for {
			var body map[string]any
			err := dec.Decode(&body)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s did not render to YAML: %w", path, err)
			}
			if len(body) == 0 {
				continue
			}
			o := Object{body: body}
			o.Kind, _ = body["kind"].(string)
			o.Name, _ = lookup(body, "metadata", "name").(string)
			if o.Kind == "" || o.Name == "" {
				return nil, fmt.Errorf("%s rendered an object without kind or name", path)
			}
			if o.YAML, err = canonical(body); err != nil {
				return nil, fmt.Errorf("%s/%s: %w", o.Kind, o.Name, err)
			}
			objects = append(objects, o)
		}
	}
	rank := func(o Object) int {
		if i := slices.Index(order, o.Kind); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return objects, nil
}

// canonical writes an object as YAML that does not depend on how it came
// about, and makes sure that it reads back as the same object.
func canonical(body map[string]any) ([]byte, error) {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	var doc yaml.Node
	if err := doc.Encode(body); err != nil {
		return nil, err
	}
	first := []string{"apiVersion", "kind", "metadata", "type", "spec", "data", "stringData"}
	sortPairs(&doc, func(key string) int {
		if i := slices.Index(first, key); i >= 0 {
			return i
		}
		return len(first)
	})
	if err := enc.Encode(&doc); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	var back map[string]any
	if err := yaml.Unmarshal(buf.Bytes(), &back); err != nil || !reflect.DeepEqual(body, back) {
		return nil, fmt.Errorf("the text does not read back as the same object")
	}
	return buf.Bytes(), nil
}

// sortPairs orders the pairs of a mapping node by rank; equal ranks keep the
// encoder's alphabetical order.
func sortPairs(n *yaml.Node, rank func(string) int) {
	type pair struct{ k, v *yaml.Node }
	pairs := make([]pair, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		pairs = append(pairs, pair{n.Content[i], n.Content[i+1]})
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return cmp.Compare(rank(a.k.Value), rank(b.k.Value)) })
	n.Content = n.Content[:0]
	for _, p := range pairs {
		n.Content = append(n.Content, p.k, p.v)
	}
}

// WriteTo writes the stream that `kubectl apply -f -` takes.
func (r *Result) WriteTo(w io.Writer) (int64, error) {
	var buf bytes.Buffer
	for _, line := range r.Header {
		fmt.Fprintf(&buf, "# %s\n", line)
	}
	for i, o := range r.Objects {
		if i > 0 {
			buf.WriteString("---\n")
		}
		buf.Write(o.YAML)
	}
	n, err := w.Write(buf.Bytes())
	return int64(n), err
}
