package litellm

import (
	"encoding/json"
	"strings"
	"sync"
)

// Schema returns a JSON Schema (draft 2020-12) for config.yaml, for editors
// and for pipelines. It is as generous about values as LiteLLM is: a reference
// to the environment may stand anywhere, a number may be written as text, and
// nothing may be left empty. It is strict about names in the sections whose
// names are all known, because an unknown name there has no effect.
func Schema() []byte { return schema() }

var schema = sync.OnceValue(func() []byte {
	defs := map[string]any{
		"reference": object{"type": "string", "pattern": `^os\.environ/`},
		"bool":      anyOf(object{"type": "boolean"}, object{"type": "string", "pattern": "^(?i:true|false|yes|no|on|off)$"}, ref("reference"), null),
		"int":       anyOf(object{"type": "integer"}, object{"type": "string", "pattern": `^\s*[-+]?[0-9]+\s*$`}, ref("reference"), null),
		"float":     anyOf(object{"type": "number"}, object{"type": "string", "pattern": `^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$`}, ref("reference"), null),
		"dur":       anyOf(object{"type": "string", "pattern": `^\s*([0-9]+\s*(mo|s|m|h|d|w).*|hourly|daily|weekly|monthly|none)\s*$`}, object{"type": "integer"}, ref("reference"), null),
		"str":       anyOf(object{"type": "string"}, object{"type": "number"}, object{"type": "boolean"}, null),
		"list":      anyOf(object{"type": "array"}, ref("reference"), null),
		"map":       anyOf(object{"type": "object"}, ref("reference"), null),
	}
	for _, section := range sections() {
		defs[defName(section)] = sectionSchema(section)
	}
	root := object{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"$id":         "https://github.com/llmgw/llmgw/docs/config.schema.json",
		"title":       "LiteLLM proxy configuration",
		"description": "The configuration of llmgw and of LiteLLM " + Compat + ".",
		"$ref":        "#/$defs/" + defName(SectionTop),
		"$defs":       defs,
	}
	text, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		panic("litellm: writing the schema: " + err.Error()) // the tables hold strings and booleans only
	}
	return append(text, '\n')
})

type object = map[string]any

var null = object{"type": "null"}

func anyOf(options ...object) object {
	list := make([]any, len(options))
	for i, o := range options {
		list[i] = o
	}
	return object{"anyOf": list}
}

func ref(name string) object { return object{"$ref": "#/$defs/" + name} }

func defName(section string) string {
	if section == SectionTop {
		return "config"
	}
	return "section." + section
}

// sections lists the sections in the order of the table.
func sections() []string {
	var list []string
	seen := map[string]bool{}
	for _, k := range keys().all {
		if !seen[k.Section] {
			seen[k.Section] = true
			list = append(list, k.Section)
		}
	}
	return list
}

// open are the sections in which names that nobody knows have an effect: they
// are passed on.
var open = map[string]bool{
	SectionModelEntry: true, SectionLiteLLMParams: true, SectionModelInfo: true, SectionCacheParams: true,
	SectionGuardrail: true, SectionGuardrailParams: true, SectionMCPServer: true, SectionCredential: true,
}

func sectionSchema(section string) object {
	properties, required := object{}, []string{}
	for _, k := range SectionKeys(section) {
		properties[k.Name] = keySchema(k)
	}
	switch section {
	case SectionModelEntry:
		required = []string{"model_name", "litellm_params"}
	case SectionLiteLLMParams:
		required = []string{"model"}
	case SectionCredential:
		required = []string{"credential_name"}
	case SectionGuardrail:
		required = []string{"guardrail_name"}
	}
	s := object{"type": "object", "properties": properties}
	if len(required) > 0 {
		s["required"] = required
	}
	if !open[section] {
		s["additionalProperties"] = false
	}
	return s
}

// within names the section that a key's value is, or whose entries it lists.
func within(k Key) (section string, each Type) {
	switch k.Section + "." + k.Name {
	case ".model_list":
		return SectionModelEntry, List
	case ".credential_list":
		return SectionCredential, List
	case ".guardrails":
		return SectionGuardrail, List
	case ".mcp_servers":
		return SectionMCPServer, Map
	case "model_list.litellm_params":
		return SectionLiteLLMParams, ""
	case "model_list.model_info":
		return SectionModelInfo, ""
	case "guardrails.litellm_params":
		return SectionGuardrailParams, ""
	case "router_settings.model_group_retry_policy":
		return SectionRetryPolicy, Map
	case "general_settings.pass_through_endpoints":
		return SectionPassThrough, List
	case "llmgw.log_sink":
		return SectionLogSink, ""
	}
	if k.Section == SectionTop || k.Section == SectionGeneral || k.Section == SectionLiteLLM || k.Section == SectionRouter {
		for _, s := range []string{
			SectionGeneral, SectionLiteLLM, SectionRouter, SectionLLMGW, SectionCacheParams, SectionRetryPolicy, SectionAllowedFailsPolicy,
			SectionAlertingArgs, SectionCoordinationRedis, SectionKeyManagement, SectionJobStagger,
		} {
			if k.Name == s {
				return s, ""
			}
		}
	}
	return "", ""
}

// bareWord are the lists for which LiteLLM takes a single word too.
var bareWord = map[string]bool{"callbacks": true, "success_callback": true, "failure_callback": true, "alerting": true, "include": true}

func keySchema(k Key) object {
	s := valueSchema(k)
	if k.Doc != "" {
		s["description"] = k.Doc
	}
	switch {
	case k.Status == Deprecated || k.Status == Dead:
		s["deprecated"] = true
		if k.Instead != "" {
			s["description"] = k.Doc + " Use " + k.Instead + "."
		}
	case k.Status == Internal:
		s["deprecated"] = true
	}
	return s
}

func valueSchema(k Key) object {
	if section, each := within(k); section != "" {
		one := ref(defName(section))
		switch each {
		case List:
			return anyOf(object{"type": "array", "items": one}, null)
		case Map:
			return anyOf(object{"type": "object", "additionalProperties": one}, null)
		}
		return anyOf(one, null)
	}
	if k.Type.Is(Any) {
		return object{}
	}
	if k.Type == Enum {
		if len(k.Values) == 0 {
			return ref("str")
		}
		return anyOf(object{"enum": k.Values}, ref("reference"), null)
	}
	if k.Type == List && len(k.Values) > 0 {
		item := anyOf(object{"enum": k.Values}, object{"type": "string"})
		options := []object{{"type": "array", "items": item}, ref("reference"), null}
		if bareWord[k.Name] {
			options = append(options, object{"type": "string"})
		}
		return anyOf(options...)
	}
	var options []object
	for part := range strings.SplitSeq(string(k.Type), "|") {
		switch Type(part) {
		case Sec:
			options = append(options, ref("float"))
		case Cron, Enum:
			options = append(options, ref("str"))
		default:
			options = append(options, ref(part))
		}
	}
	if bareWord[k.Name] {
		options = append(options, object{"type": "string"})
	}
	if len(options) == 1 {
		return options[0]
	}
	return anyOf(options...)
}
