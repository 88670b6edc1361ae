package startcheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
)

// sections refuses sections of the wrong shape, on which LiteLLM stops with a
// traceback.
func (c *checker) sections() {
	for _, s := range []struct {
		name string
		kind config.Kind
		want string
	}{
		{"general_settings", config.Map, "a mapping"}, {"litellm_settings", config.Map, "a mapping"},
		{"router_settings", config.Map, "a mapping"}, {"environment_variables", config.Map, "a mapping"},
		{"model_list", config.List, "a list"},
	} {
		if n := c.tree.Section(s.name); n != nil && n.Kind != s.kind {
			c.refuse(n.Where(), s.name, "CFG006", s.name+" is "+n.Kind.String()+", "+s.want+" is expected", "write "+s.want)
		}
	}
}

// models refuses entries that nobody could call.
func (c *checker) models() {
	for m := range c.tree.Entries() {
		path := m.Node.Path()
		if m.Node.Kind != config.Map {
			c.refuse(m.Pos(), path, "CFG010", path+" is "+m.Node.Kind.String()+", a mapping with model_name and litellm_params is expected",
				"write - model_name: ... and litellm_params: below it")
			continue
		}
		if m.Node.Get("model_name").IsNull() {
			c.incomplete(m, path+" has no model_name", meant(litellm.SectionModelEntry, "model_name", m.Node, "add model_name, the name that clients send"))
		}
		params := m.Node.Get("litellm_params")
		switch {
		case params.IsNull():
			c.incomplete(m, path+" has no litellm_params", meant(litellm.SectionModelEntry, "litellm_params", m.Node, "add litellm_params: with model: provider/model"))
			continue
		case params.Kind != config.Map:
			c.refuse(params.Where(), params.Path(), "CFG006", params.Path()+" is "+params.Kind.String()+", a mapping is expected", "write litellm_params: with model: below it")
			continue
		}
		model := params.Get("model")
		switch {
		case model != nil && model.Unknown:
		case model != nil && model.RefMissing:
			c.refuse(model.Pos, model.Path(), "CFG007", model.Path()+": environment variable "+model.Ref+" is not set", "set "+model.Ref+", or write the model")
		case model.IsNull():
			c.incomplete(m, path+".litellm_params has no model", meant(litellm.SectionLiteLLMParams, "model", params, "add model: provider/model"))
		case model.Kind != config.String:
			c.refuse(model.Where(), model.Path(), "CFG006", model.Path()+" is "+model.Kind.String()+", text is expected", "write provider/model, in quotes")
		}
		if loops := params.Get("max_agentic_loops"); !loops.IsNull() && !loops.Unknown {
			v, ok := loops.Int()
			switch {
			case !ok:
				c.refuse(loops.Where(), loops.Path(), "CFG006", loops.Path()+" must be an integer", "write a number of at least 1, or delete the key")
			case v < 1:
				c.refuse(loops.Where(), loops.Path(), "CFG006", loops.Path()+" must be at least 1", "write a number of at least 1, or delete the key")
			}
		}
	}
}

// meant is what to do about a key that is missing: correct the one that was
// probably meant to be it, if there is one.
func meant(section, key string, n *config.Node, otherwise string) string {
	for _, item := range n.Items() {
		if near, ok := litellm.Nearest(section, item.Key); ok && near == key {
			return fmt.Sprintf("%s stands there: did you mean %s?", item.Key, key)
		}
	}
	return otherwise
}

func (c *checker) incomplete(m config.Entry, message, fix string) {
	pos := m.Pos()
	c.refuse(pos, m.Node.Path(), "CFG010", message, fix)
}

func (c *checker) router() {
	router := c.tree.Section("router_settings")
	if n := router.Get("routing_strategy"); !n.IsNull() && !n.Unknown {
		key, _ := litellm.LookupKey(litellm.SectionRouter, "routing_strategy")
		if text, ok := n.Scalar(); !ok || len(key.Values) > 0 && !slices.Contains(key.Values, text) {
			if !ok {
				text = pyText(n)
			}
			valid := make([]any, len(key.Values))
			for i, v := range key.Values {
				valid[i] = v
			}
			c.refuse(n.Where(), n.Path(), "RTE002",
				"Invalid routing_strategy: '"+text+"'. Valid options: "+pyfmt.Repr(valid)+
					". Check 'router_settings.routing_strategy' in your config.yaml or the 'routing_strategy' parameter if using the Router SDK directly.",
				"use simple-shuffle, or delete the key")
		}
	}
	for _, key := range []string{"health_check_interval", "health_check_concurrency"} {
		if n := router.Get(key); n != nil {
			c.refuse(n.Where(), n.Path(), "CFG005",
				"'"+key+"' is NOT a valid router_settings parameter. Please move it to 'general_settings'.", "move it to general_settings."+key)
		}
	}
	for _, key := range []string{"fallbacks", "context_window_fallbacks", "content_policy_fallbacks"} {
		c.fallbacks(key)
	}
	c.dangling()
}

// fallbacks checks the shape of one list where it takes effect: in
// router_settings, else in litellm_settings.
func (c *checker) fallbacks(key string) {
	n := c.tree.Section("router_settings").Get(key)
	if n.IsNull() || n.Kind == config.List && n.Len() == 0 {
		n = c.tree.Section("litellm_settings").Get(key)
	}
	if n.IsNull() || n.Unknown {
		return
	}
	if n.Kind != config.List {
		c.refuse(n.Where(), n.Path(), "CFG006", n.Path()+" is "+n.Kind.String()+", a list of mappings {model: [fallbacks]} is expected",
			"write "+key+`: [{"model": ["fallback"]}]`)
		return
	}
	var bad []func()
	for _, item := range n.Items() {
		switch {
		case item.Kind != config.Map:
			bad = append(bad, func() {
				c.refuse(item.Where(), item.Path(), "CFG006", "Item '"+pyText(item)+"' is not a dictionary. "+item.Path()+" is "+item.Kind.String()+
					", expected a mapping {model: [fallbacks]}", "write "+corrected(key, n))
			})
		case item.Len() != 1:
			bad = append(bad, func() {
				c.refuse(item.Where(), item.Path(), "CFG006",
					fmt.Sprintf("Dictionary '%s' must have exactly one key, but has %d keys.", pyText(item), item.Len()), "write "+corrected(key, n))
			})
		}
	}
	for _, report := range bad {
		report()
	}
}

// corrected is the list as it should be written: one mapping for each model.
func corrected(key string, n *config.Node) string {
	var items []string
	for _, item := range n.Items() {
		if item.Kind != config.Map {
			continue
		}
		for _, entry := range item.Items() {
			var targets []string
			list := entry.Items()
			if entry.Kind != config.List {
				list = []*config.Node{entry}
			}
			for _, t := range list {
				if text, ok := t.Scalar(); ok {
					targets = append(targets, quote(text))
				} else if text, ok := t.Get("model").Scalar(); ok {
					targets = append(targets, "{model: "+quote(text)+", ...}")
				}
			}
			items = append(items, "{"+quote(entry.Key)+": ["+strings.Join(targets, ", ")+"]}")
		}
	}
	return key + ": [" + strings.Join(items, ", ") + "]"
}

func quote(s string) string { return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"` }

// maxShown bounds what a sentence repeats of the file.
const maxShown = 200

// pyText is a value as Python prints it in LiteLLM's sentence. Values under keys
// other than model names may be credentials and are left out.
func pyText(n *config.Node) string {
	var value func(n *config.Node, depth int) any
	value = func(n *config.Node, depth int) any {
		switch n.Kind {
		case config.Map:
			if depth > 1 {
				model, _ := n.Get("model").Scalar()
				return map[string]any{"model": model, "...": "..."}
			}
			m := pyfmt.Dict{}
			for _, c := range n.Items() {
				m = append(m, pyfmt.Member{Key: c.Key, Value: value(c, depth+1)})
			}
			return m
		case config.List:
			var list []any
			for _, c := range n.Items() {
				list = append(list, value(c, depth+1))
			}
			return list
		default:
			text, _ := n.Scalar()
			return text
		}
	}
	text := pyfmt.Str(value(n, 0))
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}

// dangling warns of fallbacks to groups that do not exist; requests would find
// out one by one. Models from the database are not known here.
func (c *checker) dangling() {
	if c.tree.General().StoreModelInDB.V {
		return
	}
	router := c.tree.Router()
	c.aliases(router.Aliases)
	groups := map[string]bool{}
	for m := range c.tree.Entries() {
		if strings.Contains(m.ModelName(), "*") {
			return // a wildcard may answer for anything
		}
		groups[m.ModelName()] = true
	}
	for _, a := range router.Aliases {
		groups[a.Name] = true
	}
	for _, list := range []struct {
		key       string
		fallbacks []config.Fallback
	}{
		{"fallbacks", router.Fallbacks}, {"context_window_fallbacks", router.ContextWindowFallbacks},
		{"content_policy_fallbacks", router.ContentPolicyFallbacks},
	} {
		var unknown []string
		var first *config.Node
		add := func(name string, n *config.Node) {
			if name == "*" || name == "" || groups[name] || slices.Contains(unknown, quote(name)) {
				return
			}
			if first == nil {
				first = n
			}
			unknown = append(unknown, quote(name))
		}
		for _, f := range list.fallbacks {
			for _, t := range f.Targets {
				add(t.Group, t.Node)
			}
			add(f.Group, f.Node)
		}
		if len(unknown) == 0 {
			continue
		}
		slices.Sort(unknown)
		verb, names := " is not in model_list", unknown[0]
		if len(unknown) > 1 {
			verb = " are not in model_list"
			names = strings.Join(unknown[:len(unknown)-1], ", ") + " and " + unknown[len(unknown)-1]
		}
		c.warn(first.Where(), first.Path(), "RTE004", list.key+": "+names+verb, "correct the names, or add the models")
	}
}

// aliases warns of those that lead nowhere: they are listed like models, and
// every request for them fails.
func (c *checker) aliases(list []config.Alias) {
	served, to := map[string]bool{}, map[string]string{}
	for m := range c.tree.Entries() {
		id, _ := m.Info.Get("id").Scalar()
		model, _ := m.Params.Get("model").Scalar()
		if strings.Contains(m.ModelName(), "*") {
			return // a wildcard may answer for anything
		}
		served[m.ModelName()], served[id], served[model] = true, true, true
	}
	for _, a := range list {
		to[a.Name] = a.Group
	}
	for _, a := range list {
		target, steps := a.Group, 0
		for !served[target] && to[target] != "" && steps <= len(to) {
			target = to[target]
			steps++
		}
		switch {
		case served[target] || target == "":
		case steps > len(to):
			c.warn(a.Node.Where(), a.Node.Path(), "RTE004", "model_group_alias: "+quote(a.Name)+" leads back to itself; requests for it fail", "let it lead to a model of model_list")
		default:
			c.warn(a.Node.Where(), a.Node.Path(), "RTE004", "model_group_alias: "+quote(a.Name)+" leads to "+quote(target)+", which is not in model_list; requests for it fail", "correct the name, or add the model")
		}
	}
}

var days = regexp.MustCompile(`^0*[1-9][0-9]{0,5}[dD]$`)

func (c *checker) general() {
	general := c.tree.Section("general_settings")
	if n := general.Get("coordination_redis"); !n.IsNull() {
		const path = "general_settings.coordination_redis"
		switch {
		case n.Kind != config.Map:
			c.refuse(n.Where(), path, "CFG006", path+" must be a mapping of Redis connection params", "write host:, port: and password: below it")
		case n.Get("host").IsNull() && n.Get("url").IsNull() && n.Get("startup_nodes").IsNull() && n.Get("sentinel_nodes").IsNull():
			c.refuse(n.Where(), path, "CFG006", path+" needs a connection target: set one of host, url, startup_nodes, or sentinel_nodes", "add host:")
		}
	}
	if n := general.Get("spend_report_frequency"); !n.IsNull() && !n.Unknown {
		if text, _ := n.Scalar(); !days.MatchString(text) {
			c.refuse(n.Where(), n.Path(), "CFG006", "spend_report_frequency must be a positive number of days, e.g., '1d', '7d'", "write 7d")
		}
	}
}
