package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
)

func newConfigShowCommand(a *app) *cobra.Command {
	var (
		source  configFlags
		origins bool
		out     *outputFlags
	)
	c := &cobra.Command{
		Use:   "show [-c] FILE",
		Short: "Print the configuration that is in effect, secrets masked",
		Long: `Print the configuration that is in effect: after includes, references to
variables, the environment and defaults. Secrets are masked: what has the name of
a secret, and what came from a variable and is not known to be harmless.

Exit codes: 0 shown; 2 the file cannot be read or is no configuration.`,
		Example: "  llmgw config show -c config.yaml --origins",
		Args:    atMostOneFile,
	}
	source.declare(c.Flags())
	c.Flags().BoolVar(&origins, "origins", false, "say of each value where it came from")
	out = outputVar(c.Flags(), "text", "json")
	c.RunE = func(_ *cobra.Command, args []string) error {
		outs, err := out.open(a)
		if err != nil {
			return err
		}
		defer outs.discard()
		tree, found, err := source.load(a, args)
		if err != nil {
			for _, f := range found {
				if f.Severity == finding.Error {
					return usagef("%s: %s", f.Pos, strings.TrimSuffix(f.Message+"; "+f.Fix, "; "))
				}
			}
			return err
		}
		root := tree.Effective()
		err = outs.each(func(w io.Writer, format string) error {
			if format == "json" {
				return writeJSON(w, newShown(tree, root, origins))
			}
			var b strings.Builder
			p := shower{out: &b, origins: origins}
			p.mapping(root, 0)
			_, err := io.WriteString(w, b.String())
			return err
		})
		if err != nil {
			return err
		}
		return outs.commit()
	}
	return c
}

// shown is the JSON form of config show.
type shown struct {
	Schema  string            `json:"schema"`
	Files   []string          `json:"files"`
	DotEnv  string            `json:"dotenv,omitempty"`
	Config  json.RawMessage   `json:"config"`
	Origins map[string]origin `json:"origins,omitempty"`
}

type origin struct {
	Kind     string            `json:"kind"` // file, include, reference, variable, default
	Variable string            `json:"variable,omitempty"`
	Via      string            `json:"via,omitempty"`
	Position *finding.Position `json:"position,omitempty"`
}

func newShown(tree *config.Tree, root *config.Node, origins bool) shown {
	s := shown{Schema: "llmgw.config.show/1", Files: []string{}, DotEnv: tree.DotEnv()}
	for _, f := range tree.Files() {
		s.Files = append(s.Files, f.Name)
	}
	var b strings.Builder
	appendJSON(&b, root)
	s.Config = json.RawMessage(b.String())
	if !origins {
		return s
	}
	s.Origins = map[string]origin{}
	kinds := map[config.OriginKind]string{config.FromFile: "file", config.FromInclude: "include", config.FromReference: "reference",
		config.FromVariable: "variable", config.FromDefault: "default"}
	for n := range root.Walk() {
		if n.Len() > 0 || n.Parent() == nil {
			continue
		}
		o := origin{Kind: kinds[n.Origin.Kind], Variable: n.Origin.Name, Via: n.Origin.Via}
		if pos := n.Origin.Pos; !pos.IsZero() {
			o.Position = &pos
		}
		s.Origins[n.Path()] = o
	}
	return s
}

// appendJSON writes a node with its keys in file order, secrets masked.
func appendJSON(b *strings.Builder, n *config.Node) {
	switch n.Kind {
	case config.Map, config.List:
		open, end := "[", "]"
		if n.Kind == config.Map {
			open, end = "{", "}"
		}
		b.WriteString(open)
		for i, c := range n.Items() {
			if i > 0 {
				b.WriteByte(',')
			}
			if n.Kind == config.Map {
				b.WriteString(jsonText(redact.Text(c.Key)))
				b.WriteByte(':')
			}
			appendJSON(b, c)
		}
		b.WriteString(end)
	default:
		b.WriteString(scalarJSON(n))
	}
}

// scalarJSON is a single value as JSON; what JSON cannot hold becomes text.
func scalarJSON(n *config.Node) string {
	switch {
	case n.IsNull():
		return "null"
	case n.Secretive() || n.Unknown:
		return jsonText(n.Display())
	case n.Kind == config.Bool:
		v, _ := n.Bool()
		return fmt.Sprint(v)
	case n.Kind == config.Int:
		if v, ok := n.Int(); ok {
			return fmt.Sprint(v)
		}
	case n.Kind == config.Float:
		if v, ok := n.Number(); ok && !math.IsInf(v, 0) {
			text, err := json.Marshal(v)
			if err == nil {
				return string(text)
			}
		}
	}
	return jsonText(n.Display())
}

func jsonText(s string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// shower writes a configuration as YAML, with origins as comments.
type shower struct {
	out     *strings.Builder
	origins bool
}

// commentColumn is where origins begin, so that they can be read as a column.
const commentColumn = 56

func (p *shower) line(text string, n *config.Node) {
	if p.origins && n != nil {
		pad := max(1, commentColumn-len([]rune(text)))
		text += strings.Repeat(" ", pad) + "# " + n.Origin.String()
	}
	p.out.WriteString(text)
	p.out.WriteByte('\n')
}

func (p *shower) mapping(n *config.Node, depth int) {
	for _, c := range n.Items() {
		p.value(strings.Repeat("  ", depth)+keyText(c.Key)+":", c, depth)
	}
}

// value writes what stands behind "key:" or "-".
func (p *shower) value(prefix string, n *config.Node, depth int) {
	switch {
	case n.Kind == config.Map && n.Len() > 0:
		p.line(prefix, nil)
		p.mapping(n, depth+1)
	case n.Kind == config.List && n.Len() > 0:
		p.line(prefix, nil)
		for _, c := range n.Items() {
			p.item(c, depth+1)
		}
	case n.Kind == config.Map:
		p.line(prefix+" {}", n)
	case n.Kind == config.List:
		p.line(prefix+" []", n)
	default:
		p.line(prefix+" "+scalarText(n), n)
	}
}

// item writes a list item; the first key of a mapping stands behind the dash.
func (p *shower) item(n *config.Node, depth int) {
	dash := strings.Repeat("  ", depth) + "-"
	if n.Kind != config.Map || n.Len() == 0 {
		p.value(dash, n, depth)
		return
	}
	for i, c := range n.Items() {
		prefix := strings.Repeat("  ", depth+1)
		if i == 0 {
			prefix = dash + " "
		}
		p.value(prefix+keyText(c.Key)+":", c, depth+1)
	}
}

// scalarText writes a value so that it reads back as what it is.
func scalarText(n *config.Node) string {
	if n.Kind != config.String || n.Secretive() {
		return scalarJSON(n)
	}
	if n.Unknown {
		return `""`
	}
	return config.Quote(n.Display())
}

func keyText(key string) string { return config.Quote(redact.Text(key)) }
