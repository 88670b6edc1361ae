package facts

import (
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

func ingressClass(o *manifest.Object) (string, finding.Position) {
	if n := o.Node.Lookup("spec.ingressClassName"); n != nil {
		class, _ := n.Str()
		return class, n.Where()
	}
	a := o.Annotations["kubernetes.io/ingress.class"]
	return a.Value, a.Pos
}

// parseSeconds reads 600 and 600s.
func parseSeconds(text string) (float64, bool) {
	v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), "s"), 64)
	return v, err == nil && v >= 0 && v < huge
}

// groups are the model groups in the order of model_list, with the limits of
// their deployments and their fallbacks.
func groups(tree *config.Tree) []ChainGroup {
	if tree == nil {
		return nil
	}
	var list []ChainGroup
	index := map[string]int{}
	for _, entry := range tree.Get("model_list").Items() {
		name, ok := entry.Get("model_name").Scalar()
		if !ok {
			continue
		}
		params := entry.Get("litellm_params")
		d := ChainDeployment{
			Timeout:       seconds(params.Get("timeout"), "timeout").Or(seconds(params.Get("request_timeout"), "request_timeout of the deployment")),
			StreamTimeout: seconds(params.Get("stream_timeout"), "stream_timeout"),
		}
		i, seen := index[name]
		if !seen {
			i = len(list)
			index[name] = i
			list = append(list, ChainGroup{Name: name, Pos: entry.Get("model_name").Where()})
		}
		list[i].Deployments = append(list[i].Deployments, d)
	}
	// The router's own list wins over the one that crosses over from
	// litellm_settings, as in the launcher.
	for _, key := range []string{"fallbacks", "default_fallbacks"} {
		for _, section := range []string{"router_settings", "litellm_settings"} {
			if node := tree.Get(section + "." + key); node.Len() > 0 {
				addFallbacks(list, index, node)
				break
			}
		}
	}
	return list
}

// addFallbacks gives groups their chains: an entry under its own name first,
// then, for groups that have none, the entry under "*". A plain list of names
// is such an entry too.
func addFallbacks(list []ChainGroup, index map[string]int, node *config.Node) {
	var all []*config.Node // targets of "*"
	allPos := node.Where()
	for _, entry := range node.Items() {
		if entry.IsScalar() {
			all = append(all, entry)
			continue
		}
		for _, chain := range entry.Items() {
			targets := chain.Items()
			if chain.IsScalar() {
				targets = []*config.Node{chain}
			}
			if chain.Key == "*" {
				all, allPos = targets, chain.Where()
				continue
			}
			if i, ok := index[chain.Key]; ok {
				list[i].addFallbacks(targets, chain.Where())
			}
		}
	}
	for i := range list {
		list[i].addFallbacks(all, allPos)
	}
}

// addFallbacks sets the chain of a group that has none yet. A group is never
// its own fallback.
func (g *ChainGroup) addFallbacks(targets []*config.Node, pos finding.Position) {
	if g.Fallbacks != nil {
		return
	}
	for _, t := range targets {
		if name, ok := t.Scalar(); ok && name != g.Name {
			g.Fallbacks = append(g.Fallbacks, name)
			g.FallbackPos = pos
		}
	}
}
