package config

import (
	"bytes"
	"testing"
	"time"
)

func FuzzParseYAML(f *testing.F) {
	scalars, documents := readVectors(f)
	for _, v := range append(documents, scalars...) {
		f.Add([]byte(v.YAML))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		docs, findings, err := ParseYAMLDocuments("f", data)
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("%d bytes took %v", len(data), took)
		}
		if err != nil && len(findings) == 0 {
			t.Fatal("an error without a finding")
		}
		for _, root := range docs {
			for n := range root.Walk() {
				if p := n.Pos; p.Offset < 0 || p.End < p.Offset || p.End > len(data) || p.Line < 1 || p.Col < 1 {
					t.Fatalf("%s stands at %+v in %d bytes", n.Path(), p, len(data))
				}
				if p := n.KeyPos; n.Key != "" && (p.Offset < 0 || p.End <= p.Offset || p.End > len(data)) {
					t.Fatalf("the key of %s stands at %+v", n.Path(), p)
				}
				if !n.Anchored.IsZero() || n.Kind != String || n.Style != Plain {
					continue
				}
				// A plain word on one line stands in the file as it is.
				if src := data[n.Pos.Offset:n.Pos.End]; !bytes.ContainsAny(src, "\n\r\t") && !bytes.ContainsAny(src, "\u0085\u2028\u2029") && string(src) != n.text {
					t.Fatalf("%q spans %q", n.text, src)
				}
			}
		}
	})
}
