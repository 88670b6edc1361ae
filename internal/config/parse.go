package config

import (
	"bytes"
	"errors"
	"io"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/llmgw/llmgw/internal/finding"
)

// ParseYAMLDocuments reads every document of a YAML stream. See [ParseYAML].
func ParseYAMLDocuments(file string, data []byte) ([]*Node, []finding.Finding, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*Node
	for {
		var y yaml.Node
		err := dec.Decode(&y)
		if errors.Is(err, io.EOF) {
			return docs, nil, nil
		}
		if err != nil {
			e := &SyntaxError{Pos: finding.Position{File: file, Line: 1, Col: 1}, Message: err.Error()}
			return docs, []finding.Finding{e.finding()}, e
		}
		docs = append(docs, convert(file, &y, len(docs)))
	}
}

func convert(file string, y *yaml.Node, doc int) *Node {
	for y.Kind == yaml.DocumentNode || y.Kind == yaml.AliasNode {
		if y.Kind == yaml.AliasNode {
			y = y.Alias
		} else {
			y = y.Content[0]
		}
	}
	n := &Node{Pos: finding.Position{File: file, Line: y.Line, Col: y.Column}, Doc: doc, text: y.Value}
	switch y.Kind {
	case yaml.MappingNode:
		n.Kind = Map
		for i := 0; i+1 < len(y.Content); i += 2 {
			c := convert(file, y.Content[i+1], doc)
			c.Key = y.Content[i].Value
			c.KeyPos = finding.Position{File: file, Line: y.Content[i].Line, Col: y.Content[i].Column}
			c.parent, c.index = n, len(n.children)
			n.children = append(n.children, c)
		}
	case yaml.SequenceNode:
		n.Kind = List
		for _, item := range y.Content {
			c := convert(file, item, doc)
			c.parent, c.index = n, len(n.children)
			n.children = append(n.children, c)
		}
	default:
		switch y.ShortTag() {
		case "!!null":
			n.Kind = Null
		case "!!bool":
			n.Kind, n.b = Bool, y.Value == "true" || y.Value == "True"
		case "!!int":
			n.Kind = Int
			n.i, _ = strconv.ParseInt(y.Value, 0, 64)
			n.f = float64(n.i)
		case "!!float":
			n.Kind = Float
			n.f, _ = strconv.ParseFloat(y.Value, 64)
		default:
			n.Kind = String
		}
	}
	return n
}
