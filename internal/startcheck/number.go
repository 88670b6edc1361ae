package startcheck

import (
	"fmt"
	"strconv"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
)

// numbers refuses settings that should be numbers and are not, in the sections
// whose numbers steer limits, timeouts and money.
func (c *checker) numbers() {
	for _, section := range []string{litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter} {
		for _, n := range c.tree.Section(section).Items() {
			c.number(section, n)
		}
	}
	for _, n := range c.tree.Get("litellm_settings.cache_params").Items() {
		c.number(litellm.SectionCacheParams, n)
	}
	for m := range c.tree.Entries() {
		for _, n := range m.Params.Items() {
			c.number(litellm.SectionLiteLLMParams, n)
		}
	}
	for _, path := range []string{"router_settings.retry_policy", "router_settings.allowed_fails_policy"} {
		for _, n := range c.tree.Get(path).Items() {
			if _, ok := n.Int(); !ok && !n.IsNull() && !n.Unknown {
				c.notANumber(n, "an integer")
			}
		}
	}
}

func (c *checker) number(section string, n *config.Node) {
	if n.IsNull() || n.Unknown {
		return
	}
	key, ok := litellm.LookupKey(section, n.Key)
	if !ok || n.Key == "max_agentic_loops" { // has sentences of its own
		return
	}
	switch key.Type {
	case litellm.Int:
		if _, ok := n.Int(); !ok {
			c.notANumber(n, "an integer")
		}
	case litellm.Float, litellm.Sec:
		if _, ok := n.Number(); !ok {
			c.notANumber(n, "a number")
		}
	}
}

func (c *checker) notANumber(n *config.Node, want string) {
	what := "the value of variable " + n.Ref
	if n.Ref == "" {
		what = n.Kind.String()
		if text, ok := n.Scalar(); ok {
			text = redact.Text(text) // a key may have slipped in here
			if len(text) > 40 {
				text = text[:40] + "..."
			}
			if what = text; n.Kind == config.String {
				what = strconv.Quote(text)
			}
		}
	}
	fix := "write a plain number"
	if seconds, ok := inSeconds(n); ok && n.Ref == "" {
		fix = "write " + seconds + ", in seconds"
	}
	pos := n.Where()
	c.refuse(pos, n.Path(), "CFG006", fmt.Sprintf("%s: %s is not %s", n.Path(), what, want), fix)
}

// inSeconds reads a number with a unit of time behind it, a common slip.
func inSeconds(n *config.Node) (string, bool) {
	text, ok := n.Str()
	if !ok || len(text) < 2 {
		return "", false
	}
	unit := map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}[text[len(text)-1]]
	v, err := strconv.ParseFloat(text[:len(text)-1], 64)
	if unit == 0 || err != nil || v < 0 || v > 1e9 {
		return "", false
	}
	return strconv.FormatFloat(v*unit, 'f', -1, 64), true
}
