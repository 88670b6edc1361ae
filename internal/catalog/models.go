package catalog

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The price list is made by tools/prices from openly licensed data; its
// licence is beside it.
//
//go:embed data/models.tsv.gz
var modelsGZ string

//go:embed data/pieces.tsv
var piecesTSV string

// Licence is the notice that goes with the embedded price list.
//
//go:embed data/models.LICENSE
var Licence string

// model is one entry of the price list.
type model struct {
	id      string
	match   []alternative
	context int
	prices  []variant
}

type variant struct {
	from  string // YYYY-MM-DD, or empty for "ever"
	rates Price
}

// alternative is a conjunction of tests on a name.
type alternative []test

type test struct {
	kind byte // one of = ^ $ ~ / !
	text string
	re   *regexp.Regexp
}

func (a alternative) fits(name string) bool {
	for _, t := range a {
		ok := false
		switch t.kind {
		case '=':
			ok = name == t.text
		case '^':
			ok = strings.HasPrefix(name, t.text)
		case '$':
			ok = strings.HasSuffix(name, t.text)
		case '~':
			ok = strings.Contains(name, t.text)
		case '/':
			ok = t.re.MatchString(name)
		case '!':
			ok = !t.re.MatchString(name)
		}
		if !ok {
			return false
		}
	}
	return true
}

type modelList struct {
	version, date string
	byVendor      map[string][]model
}

// embedded is the price list, unpacked when it is first asked for.
var embedded = sync.OnceValue(func() *modelList {
	list, err := readModels([]byte(modelsGZ))
	if err != nil {
		panic("catalog: data/models.tsv.gz: " + err.Error())
	}
	if err := list.addPieces(piecesTSV); err != nil {
		panic("catalog: data/pieces.tsv: " + err.Error())
	}
	return list
})

// Embedded names the embedded price list: the version and date of its source.
func Embedded() (version, date string) {
	l := embedded()
	return l.version, l.date
}

func readModels(packed []byte) (*modelList, error) {
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, 16<<20))
	if err != nil {
		return nil, err
	}
	l := &modelList{byVendor: map[string][]model{}}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if n == 1 {
			f := strings.Fields(line)
			if len(f) != 3 || f[0] != "#" {
				return nil, fmt.Errorf("the first line is not \"# version date\"")
			}
			l.version, l.date = f[1], f[2]
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 5 {
			return nil, fmt.Errorf("line %d: %d cells", n, len(c))
		}
		m := model{id: c[1]}
		if m.match, err = readMatch(c[2]); err == nil {
			if m.context, err = strconv.Atoi(c[3]); err == nil {
				m.prices, err = readVariants(c[4])
			}
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		l.byVendor[c[0]] = append(l.byVendor[c[0]], m)
	}
	return l, nil
}

// addPieces adds models that are not paid by the token. What the list has itself
// comes first.
func (l *modelList) addPieces(text string) error {
	header := true
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		c := strings.Split(line, "\t")
		if len(c) != 5 {
			return fmt.Errorf("not five cells: %s", line)
		}
		if header {
			header = false
			continue
		}
		m := model{id: c[1]}
		var err error
		if m.match, err = readMatch(c[2]); err == nil {
			m.prices, err = readVariants(c[3])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", c[1], err)
		}
		l.byVendor[c[0]] = append(l.byVendor[c[0]], m)
	}
	return nil
}

func readMatch(text string) ([]alternative, error) {
	var list []alternative
	for alt := range strings.FieldsSeq(text) {
		var a alternative
		for part := range strings.SplitSeq(alt, "&&") {
			t := test{kind: part[0], text: strings.ToLower(part[1:])}
			switch t.kind {
			case '=', '^', '$', '~':
			case '/', '!':
				re, err := regexp.Compile(part[1:])
				if err != nil {
					return nil, err
				}
				t.re = re
			default:
				return nil, fmt.Errorf("match %q", part)
			}
			a = append(a, t)
		}
		list = append(list, a)
	}
	return list, nil
}

func readVariants(text string) ([]variant, error) {
	var list []variant
	for v := range strings.SplitSeq(text, ";") {
		from, items, dated := strings.Cut(v, "@")
		if !dated {
			from, items = "", v
		}
		price, err := readPrice(items)
		if err != nil {
			return nil, err
		}
		list = append(list, variant{from, price})
	}
	return list, nil
}

func readPrice(items string) (Price, error) {
	var p Price
	if items == "" {
		return p, nil
	}
	for item := range strings.SplitSeq(items, ",") {
		unit, text, ok := strings.Cut(item, "=")
		if !ok {
			return p, fmt.Errorf("price %q", item)
		}
		base, tiers, _ := strings.Cut(text, ":")
		exponent := "e-6"
		switch unit {
		case "kreq":
			exponent = "e-3"
		case "kquery":
			unit, exponent = "query", "e-3"
		case "hour", "image":
			exponent = "e0"
		}
		if kind, ok := strings.CutPrefix(unit, "image:"); ok {
			rate, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return p, err
			}
			p.ImageKinds = append(p.ImageKinds, ImageKind{kind, rate})
			continue
		}
		rate, err := strconv.ParseFloat(base+exponent, 64)
		if err != nil {
			return p, err
		}
		var list []Tier
		if tiers != "" {
			for t := range strings.SplitSeq(tiers, ":") {
				start, price, _ := strings.Cut(t, "=")
				above, err := strconv.ParseInt(start, 10, 64)
				if err != nil {
					return p, err
				}
				r, err := strconv.ParseFloat(price+exponent, 64)
				if err != nil {
					return p, err
				}
				list = append(list, Tier{Above: above, Rate: r})
			}
		}
		if unit == "hour" {
			rate /= 3600
		}
		r := p.rate(unit)
		if r == nil {
			return p, fmt.Errorf("unit %q", unit)
		}
		*r = Rate{Base: rate, Tiers: list, Set: true}
	}
	return p, nil
}

// find looks a model up in the lists of a vendor.
func (l *modelList) find(vendors []string, name string) (vendor string, m *model) {
	name = strings.ToLower(name)
	for _, vendor := range vendors {
		list := l.byVendor[vendor]
		for i := range list {
			for _, a := range list[i].match {
				if a.fits(name) {
					return vendor, &list[i]
				}
			}
		}
	}
	return "", nil
}

// at returns the prices that hold on a day.
func (m *model) at(day string) Price {
	var p Price
	for _, v := range m.prices {
		if v.from <= day {
			p = v.rates
		}
	}
	return p
}

// vendors are the lists of the price data in which a provider's models are
// looked up, in order.
func vendors(provider string) []string {
	switch provider {
	case "openai", "text-completion-openai", "aiohttp_openai", "chatgpt", "custom_openai", "openai_like":
		return []string{"openai"}
	case "azure", "azure_text", "azure_ai":
		return []string{"azure", "openai", "anthropic", "deepseek", "x-ai", "moonshotai", "mistral", "cohere"}
	case "anthropic", "anthropic_text":
		return []string{"anthropic"}
	case "bedrock", "sagemaker", "sagemaker_chat", "amazon_nova", "bedrock_mantle":
		return []string{"aws"}
	case "gemini", "vertex_ai", "vertex_ai_beta":
		return []string{"google", "anthropic", "mistral"}
	case "cohere", "cohere_chat":
		return []string{"cohere"}
	case "mistral", "codestral", "text-completion-codestral":
		return []string{"mistral"}
	case "together_ai":
		return []string{"together"}
	case "fireworks_ai":
		return []string{"fireworks"}
	case "xai":
		return []string{"x-ai"}
	case "moonshot":
		return []string{"moonshotai"}
	case "zai":
		return []string{"zai", "zhipuai"}
	case "voyage":
		return []string{"voyageai"}
	case "huggingface":
		var list []string
		for _, host := range []string{"cerebras", "fireworks-ai", "groq", "hyperbolic", "nebius", "novita", "nscale", "ovhcloud", "publicai", "sambanova", "together"} {
			list = append(list, "huggingface_"+host)
		}
		return list
	case "nebius", "hyperbolic", "nscale", "publicai", "sambanova":
		return []string{"huggingface_" + provider}
	case "github_copilot":
		return []string{"github-copilot"}
	case "":
		return nil
	}
	return []string{provider} // groq, openrouter, deepseek, perplexity and others bear the same name
}

// hasModel reports whether a provider's list has a model of exactly this name.
func hasModel(provider, name string) bool {
	_, m := embedded().find(vendors(provider), name)
	return m != nil
}

// Limits are a model's lengths in tokens; 0 is unknown.
type Limits struct {
	Input  int64 // longest prompt
	Output int64 // longest answer
}

// Source says where a model's numbers come from.
type Source struct {
	Config bool   // some come from the configuration
	Map    bool   // they come from the list given to UseCostMap
	Vendor string // the list that has the model; empty when none has
	ID     string // its name there
	Date   string // of the list
}

// Known reports whether anything but the shape of the name is known.
func (s Source) Known() bool { return s.Config || s.Map || s.Vendor != "" }

// Model gathers what is known about a model: the configuration's own numbers
// first, then the price list's entry for baseModel, then for name; a list given
// to UseCostMap is asked before the embedded one. Both names may
// begin with a provider; a name without one is looked up by its shape, and a
// base model without one that has no shape with the provider of name. Rates
// that nothing names are 0.
func Model(name, baseModel string, o Overrides) (Price, Limits, Capabilities, Source) {
	return modelAt(name, baseModel, o, time.Now())
}

func modelAt(name, baseModel string, o Overrides, now time.Time) (Price, Limits, Capabilities, Source) {
	var (
		price  Price
		limits Limits
		src    Source
	)
	provider, id, _ := Split(name, Params{})
	known := id
	theirs := costMap.Load()
	for _, try := range []struct{ provider, id string }{splitBase(baseModel, provider), {provider, id}} {
		if try.id == "" {
			continue
		}
		if known == id {
			known = try.id
		}
		if entry, ok := theirs.find(try.provider, try.id); ok {
			caps, out := shapeOf(try.id)
			limits.Output = out
			entry.apply(&price, &limits, &caps)
			src.Map, src.ID = true, try.id
			src.Config = o.apply(&price, &limits, &caps)
			return price, limits, caps, src
		}
		vendor, m := embedded().find(vendors(try.provider), lookupID(try.provider, try.id))
		if m == nil {
			continue
		}
		price, limits.Input = m.at(now.UTC().Format(time.DateOnly)), int64(m.context)
		src.Vendor, src.ID, src.Date, known = vendor, m.id, embedded().date, try.id
		break
	}
	caps, out := shapeOf(known)
	limits.Output = out
	src.Config = o.apply(&price, &limits, &caps)
	return price, limits, caps, src
}

func splitBase(base, provider string) struct{ provider, id string } {
	if base == "" {
		return struct{ provider, id string }{}
	}
	p, id, reason := Split(base, Params{})
	if !reason.Found() {
		p, id = provider, base
	}
	return struct{ provider, id string }{p, id}
}

// lookupID brings the model of a call into the form of the list: fine-tuned
// models by their base, models of Azure, Bedrock and Google without the zone,
// route, region or publisher in the path.
func lookupID(provider, id string) string {
	switch provider {
	case "azure", "azure_text":
		if zone, rest, ok := strings.Cut(id, "/"); ok && len(zone) < 16 {
			id = rest // us, eu, global-standard: where the model runs
		}
		return fineTunedBase(provider, id)
	case "openai":
		return fineTunedBase(provider, id)
	case "bedrock", "bedrock_mantle":
		for {
			head, rest, ok := strings.Cut(id, "/")
			if !ok {
				return id
			}
			if strings.HasPrefix(head, "arn:") {
				return rest
			}
			id = rest
		}
	case "vertex_ai", "vertex_ai_beta", "gemini":
		if i := strings.LastIndexByte(id, '/'); i >= 0 {
			return id[i+1:]
		}
	}
	return id
}

// fineTunedBase finds the entry of a fine-tuned model: its own, that of its
// base when fine-tuned, or that of the base.
func fineTunedBase(provider, id string) string {
	ft, ok := strings.CutPrefix(id, "ft:")
	if !ok || hasModel(provider, id) {
		return id
	}
	base, _, _ := strings.Cut(ft, ":")
	if hasModel(provider, base+".ft-") {
		return base + ".ft-"
	}
	return base
}
