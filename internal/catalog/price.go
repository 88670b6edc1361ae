package catalog

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rate is a price in dollars for one of something, such as one token.
type Rate struct {
	Base float64
	// Tiers replace Base for a whole call whose prompt is longer; sorted by
	// Above.
	Tiers []Tier
	Set   bool // false: nothing names Base
}

// Tier is the rate of calls with a prompt of more than Above tokens.
type Tier struct {
	Above int64
	Rate  float64
}

// of is the rate for a prompt of so many tokens. ok is false when nothing names
// one, or only longer prompts have one.
func (r *Rate) of(prompt int64) (rate float64, ok bool) {
	rate, ok = r.Base, r.Set
	for _, t := range r.Tiers {
		if prompt > t.Above {
			rate, ok = t.Rate, true
		}
	}
	return rate, ok
}

// Price holds a model's rates. The per-token rates are dollars per token.
type Price struct {
	Input        Rate // text tokens of the prompt
	Output       Rate // text tokens of the answer
	CacheRead    Rate // prompt tokens read from the provider's cache; unset: as Input
	CacheWrite   Rate // prompt tokens written to it; unset: as Input
	CacheWrite1h Rate // prompt tokens written to it for an hour; unset: as CacheWrite
	Reasoning    Rate // unset: as Output
	AudioIn      Rate // unset: as Input
	AudioOut     Rate // unset: as Output
	ImageIn      Rate // unset: as Input
	ImageOut     Rate // unset: as Output
	VideoIn      Rate // unset: as Input
	Request      Rate // one call
	Second       Rate // one second of sound, or of the call
	Image        Rate // one image made
	ImageKinds   []ImageKind
	Character    Rate // one character read aloud
	Query        Rate // one search unit of a reranking
}

// ImageKind is what one image of a kind costs where that is not what others do:
// of a size ("1024x1792"), a quality ("hd"), or both ("hd/1024x1792").
type ImageKind struct {
	Kind string
	Base float64
}

// image is what one image costs.
func (p *Price) image(quality, size string) float64 {
	for _, kind := range [...]string{quality + "/" + size, quality, size} {
		for i := range p.ImageKinds {
			if p.ImageKinds[i].Kind == kind {
				return p.ImageKinds[i].Base
			}
		}
	}
	return p.Image.Base
}

// rate finds a rate by its unit in the price list.
func (p *Price) rate(unit string) *Rate {
	switch unit {
	case "in":
		return &p.Input
	case "out":
		return &p.Output
	case "cr":
		return &p.CacheRead
	case "cw":
		return &p.CacheWrite
	case "cw1h":
		return &p.CacheWrite1h
	case "reason":
		return &p.Reasoning
	case "ain":
		return &p.AudioIn
	case "aout":
		return &p.AudioOut
	case "iin":
		return &p.ImageIn
	case "iout":
		return &p.ImageOut
	case "vin":
		return &p.VideoIn
	case "kreq":
		return &p.Request
	case "hour":
		return &p.Second
	case "image":
		return &p.Image
	case "char":
		return &p.Character
	case "query":
		return &p.Query
	}
	return nil
}

// Charges reports whether anything costs more than nothing.
func (p *Price) Charges() bool {
	for _, r := range [...]*Rate{
		&p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &p.Reasoning, &p.AudioIn, &p.AudioOut, &p.ImageIn, &p.ImageOut,
		&p.VideoIn, &p.Request, &p.Second, &p.Image, &p.Character, &p.Query,
	} {
		if r.Base > 0 || slices.ContainsFunc(r.Tiers, func(t Tier) bool { return t.Rate > 0 }) {
			return true
		}
	}
	return slices.ContainsFunc(p.ImageKinds, func(k ImageKind) bool { return k.Base > 0 })
}

// Usage is what one call used. Prompt and Completion are totals; the other
// counts are parts of them.
type Usage struct {
	Prompt       int64
	CacheRead    int64
	CacheWrite   int64 // all that was written, hour-long entries included
	CacheWrite1h int64
	AudioIn      int64
	ImageIn      int64
	VideoIn      int64
	Completion   int64
	Reasoning    int64
	AudioOut     int64
	ImageOut     int64
	TextOut      int64 // 0: what the other parts leave
	Seconds      float64
	Images       int64 // made
	Characters   int64 // read aloud
	Queries      int64 // search units of a reranking
	// ImageQuality and ImageSize are what was asked for.
	ImageQuality, ImageSize string
}

// Cost is the price of one call in dollars.
type Cost struct{ Input, Output, Total float64 }

// Covers reports whether the price says what a call costs: one of characters,
// images or search units alone has no price where they have none.
func (p *Price) Covers(u Usage) bool {
	switch {
	case u.Prompt > 0 || u.Completion > 0 || p.Request.Set || p.Second.Set:
		return true
	case u.Characters > 0:
		return p.Character.Set
	case u.Images > 0:
		return p.Image.Set
	case u.Queries > 0:
		return p.Query.Set
	case u.Seconds > 0:
		return false
	}
	return true
}

// Cost works out what a call costs. Parts that add up to more than their total
// are cut, so that no token is charged twice; what was read from or written to
// the cache keeps its own rate. Without a rate of their own, parts cost what
// text costs; that is what LiteLLM charges.
func (p *Price) Cost(u Usage) Cost {
	prompt := max(u.Prompt, 0)
	left := prompt
	// part charges n of the tokens that are left by the first rate that is
	// named, and takes them away.
	part := func(n int64, own, other, last *Rate) float64 {
		if n = min(n, left); n <= 0 {
			return 0
		}
		left -= n
		for _, r := range [...]*Rate{own, other, last} {
			if rate, ok := r.of(prompt); ok {
				return float64(n) * rate
			}
		}
		return 0
	}
	var c Cost
	// In the order in which parts survive when there are too many.
	c.Input += part(u.CacheRead, &p.CacheRead, &p.Input, &p.Input)
	hour := min(u.CacheWrite1h, left)
	c.Input += part(hour, &p.CacheWrite1h, &p.CacheWrite, &p.Input)
	c.Input += part(u.CacheWrite-max(hour, 0), &p.CacheWrite, &p.Input, &p.Input)
	c.Input += part(u.AudioIn, &p.AudioIn, &p.Input, &p.Input)
	c.Input += part(u.ImageIn, &p.ImageIn, &p.Input, &p.Input)
	c.Input += part(u.VideoIn, &p.VideoIn, &p.Input, &p.Input)
	c.Input += part(left, &p.Input, &p.Input, &p.Input)
	if p.Request.Set {
		c.Input += p.Request.Base
	}
	if p.Second.Set && u.Seconds > 0 {
		c.Input += u.Seconds * p.Second.Base
	}

	c.Input += float64(u.Characters)*p.Character.Base + float64(u.Queries)*p.Query.Base

	left = max(u.Completion, 0)
	if u.Images > 0 {
		c.Output += float64(u.Images) * p.image(u.ImageQuality, u.ImageSize)
	}
	c.Output += part(u.AudioOut, &p.AudioOut, &p.Output, &p.Output)
	c.Output += part(u.ImageOut, &p.ImageOut, &p.Output, &p.Output)
	c.Output += part(u.Reasoning, &p.Reasoning, &p.Output, &p.Output)
	if u.TextOut > 0 {
		left = min(left, u.TextOut)
	}
	c.Output += part(left, &p.Output, &p.Output, &p.Output)
	c.Total = c.Input + c.Output
	return c
}

// Overrides are the numbers and switches of a deployment's model_info and
// litellm_params that concern its price, limits and capabilities, by their
// configuration key: input_cost_per_token, max_input_tokens, supports_vision.
type Overrides struct {
	Numbers map[string]float64
	Flags   map[string]bool
	Mode    string
}

// Set takes one configuration member over if it is one of those. Numbers may
// be written as text. It answers false for members that do not concern it, and
// for values it cannot read.
func (o *Overrides) Set(key string, value any) bool {
	switch {
	case key == "mode":
		s, ok := value.(string)
		if ok {
			o.Mode = s
		}
		return ok
	case strings.HasPrefix(key, "supports_"):
		b, ok := value.(bool)
		if ok {
			if o.Flags == nil {
				o.Flags = map[string]bool{}
			}
			o.Flags[key] = b
		}
		return ok
	}
	if _, _, ok := rateOf(key); !ok && key != "max_tokens" && key != "max_input_tokens" && key != "max_output_tokens" {
		return false
	}
	n, ok := Number(value)
	if !ok {
		return false
	}
	if o.Numbers == nil {
		o.Numbers = map[string]float64{}
	}
	o.Numbers[key] = n
	return true
}

// Number reads a number or a text that holds one ("3e-7"). It refuses what no
// price or limit can be: negative, infinite, not a number.
func Number(value any) (float64, bool) {
	var f float64
	switch v := value.(type) {
	case float64:
		f = v
	case int:
		f = float64(v)
	case int64:
		f = float64(v)
	case string:
		var err error
		if f, err = strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil {
			return 0, false
		}
	default:
		return 0, false
	}
	return f, f >= 0 && !math.IsInf(f, 0)
}

// rateOf takes a configuration key apart: which rate it sets, and above how
// many tokens of the prompt (0: always).
func rateOf(key string) (unit string, above int64, ok bool) {
	base, tail, tiered := strings.Cut(key, "_above_")
	switch base {
	case "input_cost_per_token":
		unit = "in"
	case "output_cost_per_token":
		unit = "out"
	case "cache_read_input_token_cost":
		unit = "cr"
	case "cache_creation_input_token_cost":
		unit = "cw"
	case "output_cost_per_reasoning_token":
		unit = "reason"
	case "input_cost_per_audio_token":
		unit = "ain"
	case "output_cost_per_audio_token":
		unit = "aout"
	case "input_cost_per_image_token":
		unit = "iin"
	case "output_cost_per_image_token":
		unit = "iout"
	case "input_cost_per_video_token":
		unit = "vin"
	case "input_cost_per_request", "cost_per_request":
		unit = "kreq"
	case "input_cost_per_second", "cost_per_second", "output_cost_per_second":
		unit = "hour"
	case "input_cost_per_image", "output_cost_per_image":
		unit = "image"
	case "input_cost_per_character", "output_cost_per_character":
		unit = "char"
	case "input_cost_per_query":
		unit = "query"
	default:
		return "", 0, false
	}
	if !tiered {
		return unit, 0, true
	}
	if unit == "cw" {
		if tail == "1hr" {
			return "cw1h", 0, true
		}
		if rest, ok := strings.CutPrefix(tail, "1hr_above_"); ok {
			unit, tail = "cw1h", rest
		}
	}
	k, ok := strings.CutSuffix(tail, "k_tokens")
	if !ok {
		return "", 0, false
	}
	n, err := strconv.ParseInt(k, 10, 32)
	if err != nil || n <= 0 {
		return "", 0, false
	}
	return unit, n * 1000, true
}

// apply lays the overrides over what the list says. A base rate of the
// configuration drops the list's tiers: whoever names a price means it.
func (o Overrides) apply(p *Price, l *Limits, c *Capabilities) (any bool) {
	// A rate may be named by more than one key (of the input, of the output): the
	// first in this order that is not zero counts.
	named := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(o.Numbers)) {
		if unit, above, ok := rateOf(key); ok && above == 0 && !named[unit] {
			n := o.Numbers[key]
			*p.rate(unit) = Rate{Base: n, Set: true}
			if unit == "image" {
				p.ImageKinds = nil
			}
			any, named[unit] = true, n > 0
		}
	}
	for key, n := range o.Numbers {
		if unit, above, ok := rateOf(key); ok && above > 0 {
			p.rate(unit).setTier(above, n)
			any = true
		}
	}
	for _, key := range []string{"max_tokens", "max_output_tokens"} { // the clearer name last
		if n, ok := o.Numbers[key]; ok {
			l.Output = int64(n)
		}
	}
	if n, ok := o.Numbers["max_input_tokens"]; ok {
		l.Input = int64(n)
	}
	for key, on := range o.Flags {
		c.set(key, on)
	}
	if o.Mode != "" {
		c.Mode = o.Mode
	}
	return any
}

func (r *Rate) setTier(above int64, rate float64) {
	i := 0
	for i < len(r.Tiers) && r.Tiers[i].Above < above {
		i++
	}
	tiers := append([]Tier(nil), r.Tiers[:i]...)
	tiers = append(tiers, Tier{above, rate})
	if i < len(r.Tiers) && r.Tiers[i].Above == above {
		i++
	}
	r.Tiers = append(tiers, r.Tiers[i:]...)
}
