package account

import (
	"sync"
	"sync/atomic"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Prices is the price side of one deployment: what the configuration says about
// it, and the price list behind.
type Prices struct {
	// BaseModel is model_info.base_model.
	BaseModel string
	// Overrides are the rates of the configuration.
	Overrides catalog.Overrides
}

// maxPriced bounds the names that a wildcard's prices are kept for: clients
// choose them.
const maxPriced = 1000

// Lookup returns the function that a deployment finds its rates with. The price
// list is unpacked when the first call asks, so that a gateway that only waits
// does not hold it.
func (p Prices) Lookup(provider, model string) func(string) *catalog.Price {
	var (
		once  sync.Once
		fixed *catalog.Price
		names sync.Map // string -> *catalog.Price
		count atomic.Int32
	)
	find := func(full string) *catalog.Price {
		price, _, _, source := catalog.Model(full, p.BaseModel, p.Overrides)
		if !source.Known() {
			return nil
		}
		return &price
	}
	return func(name string) *catalog.Price {
		if name == model {
			once.Do(func() { fixed = find(provider + "/" + model) })
			return fixed
		}
		if v, ok := names.Load(name); ok {
			return v.(*catalog.Price)
		}
		price := find(provider + "/" + name)
		if count.Load() < maxPriced {
			if _, loaded := names.LoadOrStore(name, price); !loaded {
				count.Add(1)
			}
		}
		return price
	}
}

// Charge works out the cost of a call, once its usage is known. An answer that
// came from the cache costs nothing.
func Charge(c *call.Call) {
	switch d := c.Deployment; {
	case c.Cached:
		c.Cost = call.Cost{Known: true}
	case d == nil || d.Price == nil || !c.Usage.Known:
	default:
		price := d.Price(d.Model)
		if price == nil {
			return
		}
		u := &c.Usage
		seconds := u.Seconds
		if seconds == 0 && price.Second.Set && !price.Input.Set && !price.Output.Set {
			seconds = c.UpstreamTime.Seconds() // a model that is paid for the time it works
		}
		used := catalog.Usage{
			Prompt: u.PromptTokens, CacheRead: u.CachedTokens, CacheWrite: u.CacheWriteTokens,
			AudioIn: u.AudioInTokens, ImageIn: u.ImageInTokens,
			Completion: u.CompletionTokens, Reasoning: u.ReasoningTokens, AudioOut: u.AudioOutTokens, ImageOut: u.ImageOutTokens,
			Seconds: seconds, Images: u.Images, Characters: u.Characters, Queries: u.Queries,
			ImageQuality: u.ImageQuality, ImageSize: u.ImageSize,
		}
		if !price.Covers(used) {
			return
		}
		cost := price.Cost(used)
		c.Cost = call.Cost{Input: cost.Input, Output: cost.Output, Total: cost.Total, Known: true}
	}
}

// Estimate counts the tokens of an answer whose usage was never reported: a
// stream that was cut or left, or an upstream that does not count. Four bytes
// are about one token of English in the vocabularies in use; a vocabulary in the
// binary would cost 11 MB for a number that stays an estimate.
func Estimate(c *call.Call) {
	if c.Usage.Known || c.FirstByte.IsZero() || c.Cached || c.AnswerBytes == 0 {
		return
	}
	tokens := func(bytes int) int64 { return int64(bytes+bytesPerToken-1) / bytesPerToken }
	u := call.Usage{PromptTokens: tokens(c.PromptBytes), CompletionTokens: tokens(c.AnswerBytes), Known: true, Estimated: true}
	u.TotalTokens = u.PromptTokens + u.CompletionTokens
	c.Usage = u
}

const bytesPerToken = 4
