package splice

import "github.com/llmgw/llmgw/pkg/proxy/call"

// decodeUsage reads a usage object in any of the spellings in use: OpenAI's
// chat and responses APIs, Anthropic's, and the cache counters that DeepSeek
// and others add. Members it does not know and values that are not counts are
// passed over. ok is false when the value is not an object or counts nothing.
func decodeUsage(c *cursor) (u call.Usage, ok bool) {
	if c.i >= len(c.b) || c.b[c.i] != '{' {
		c.skip()
		return u, false
	}
	var total bool
	for k, more := c.first(); more; k, more = c.next() {
		switch string(c.b[k.start:k.end]) {
		case "prompt_tokens", "input_tokens":
			u.PromptTokens, ok = c.count(u.PromptTokens, ok)
		case "completion_tokens", "output_tokens":
			u.CompletionTokens, ok = c.count(u.CompletionTokens, ok)
		case "total_tokens":
			u.TotalTokens, total = c.count(u.TotalTokens, total)
		case "prompt_cache_hit_tokens":
			if u.CachedTokens == 0 {
				u.CachedTokens, _ = c.count(0, false)
			} else {
				c.skip()
			}
		case "cache_read_input_tokens":
			u.CachedTokens, _ = c.count(u.CachedTokens, false)
		case "cache_creation_input_tokens":
			u.CacheWriteTokens, _ = c.count(u.CacheWriteTokens, false)
		case "prompt_tokens_details", "input_tokens_details", "input_token_details":
			c.details(&u, &u.AudioInTokens, &u.ImageInTokens)
		case "completion_tokens_details", "output_tokens_details", "output_token_details":
			c.details(&u, &u.AudioOutTokens, &u.ImageOutTokens)
		default:
			c.skip()
		}
	}
	if c.bad >= 0 {
		return call.Usage{}, false
	}
	if !total {
		u.TotalTokens = u.PromptTokens + u.CompletionTokens
	}
	ok = ok || total
	u.Known = ok
	return u, ok
}

// details reads the breakdown of one side.
func (c *cursor) details(u *call.Usage, audio, image *int64) {
	if c.b[c.i] != '{' {
		c.skip()
		return
	}
	for k, more := c.first(); more; k, more = c.next() {
		switch string(c.b[k.start:k.end]) {
		case "cached_tokens":
			u.CachedTokens, _ = c.count(u.CachedTokens, false)
		case "cache_creation_tokens", "cache_write_tokens":
			u.CacheWriteTokens, _ = c.count(u.CacheWriteTokens, false)
		case "reasoning_tokens":
			u.ReasoningTokens, _ = c.count(u.ReasoningTokens, false)
		case "audio_tokens":
			*audio, _ = c.count(*audio, false)
		case "image_tokens":
			*image, _ = c.count(*image, false)
		default:
			c.skip()
		}
	}
}

// count reads a token count; on anything else it keeps what is known.
func (c *cursor) count(old int64, seen bool) (int64, bool) {
	start := c.i
	if !c.skip() {
		return old, seen
	}
	if n, ok := integer(c.b[start:c.i]); ok && n >= 0 {
		return n, true
	}
	// Some servers count in floating point: 12.0.
	raw := c.b[start:c.i]
	for i, x := range raw {
		if x == '.' {
			if n, ok := integer(raw[:i]); ok && n >= 0 {
				return n, true
			}
		}
	}
	return old, seen
}
