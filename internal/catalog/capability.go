package catalog

import (
	_ "embed"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Capabilities say what a model can do.
type Capabilities struct {
	Mode      string // chat, embedding, ...; empty when unknown
	Tools     bool
	Vision    bool
	PDF       bool
	AudioIn   bool
	AudioOut  bool
	Reasoning bool
	Schema    bool // answers by a JSON schema
	Prefill   bool // continues a begun answer
	WebSearch bool
	// Adaptive models decide themselves how long they think and refuse a budget.
	Adaptive bool
}

//go:embed data/capabilities.tsv
var capabilitiesTSV string

type shapeRow struct {
	name namePattern
	caps Capabilities
	out  int64
}

var capabilityRows = sync.OnceValue(func() []shapeRow {
	var list []shapeRow
	header := true
	for line := range strings.Lines(capabilitiesTSV) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if header {
			header = false
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 4 {
			panic("catalog: data/capabilities.tsv: not four cells: " + line)
		}
		out, err := strconv.ParseInt(c[2], 10, 64)
		if err != nil {
			panic("catalog: data/capabilities.tsv: " + line)
		}
		r := shapeRow{name: newNamePattern(c[0]), out: out}
		r.caps.Mode = c[1]
		for word := range strings.FieldsSeq(c[3]) {
			if p := r.caps.field(word); p != nil {
				*p = true
			} else if word != "-" {
				panic("catalog: data/capabilities.tsv: unknown word " + word)
			}
		}
		list = append(list, r)
	}
	return list
})

func (c *Capabilities) field(word string) *bool {
	switch word {
	case "tools":
		return &c.Tools
	case "vision":
		return &c.Vision
	case "pdf":
		return &c.PDF
	case "audio-in":
		return &c.AudioIn
	case "audio-out":
		return &c.AudioOut
	case "reasoning":
		return &c.Reasoning
	case "schema":
		return &c.Schema
	case "prefill":
		return &c.Prefill
	case "web-search":
		return &c.WebSearch
	case "adaptive":
		return &c.Adaptive
	}
	return nil
}

// set takes a supports_… key of the configuration over.
func (c *Capabilities) set(key string, on bool) {
	words := map[string]string{
		"supports_function_calling": "tools", "supports_vision": "vision", "supports_pdf_input": "pdf",
		"supports_audio_input": "audio-in", "supports_audio_output": "audio-out", "supports_reasoning": "reasoning",
		"supports_response_schema": "schema", "supports_assistant_prefill": "prefill", "supports_web_search": "web-search",
	}
	if p := c.field(words[key]); p != nil {
		*p = on
	}
}

var (
	regionPrefix = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^((us|us-gov|eu|apac|jp|au|ca|global)\.)?(anthropic|amazon|meta|mistral|cohere|ai21|deepseek|openai|qwen|google)\.`)
	})
	fineTuned = "ft:"
)

// shapeOf goes by a model's bare name: without path, region, vendor and
// fine-tuning marks.
func shapeOf(id string) (Capabilities, int64) {
	name := strings.ToLower(id)
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	name = strings.TrimPrefix(name, fineTuned)
	name = name[len(regionPrefix().FindString(name)):]
	name = strings.ReplaceAll(name, "claude-3.", "claude-3-")
	for _, r := range capabilityRows() {
		if r.name.matches(name) {
			return r.caps, r.out
		}
	}
	return Capabilities{}, 0
}
