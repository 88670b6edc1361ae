package splice

// MetadataMode says what becomes of the request's metadata, which callers of a
// gateway use for tags and traces, and OpenAI for stored completions.
type MetadataMode uint8

const (
	// MetadataDrop never sends metadata.
	MetadataDrop MetadataMode = iota
	// MetadataStored sends it when the request says "store": true, which OpenAI
	// demands, without the members meant for the gateway and without values that
	// are not strings, which OpenAI refuses.
	MetadataStored
	// MetadataKeep sends it as it is, to another gateway.
	MetadataKeep
)

// Param is one member with its value as JSON text.
type Param struct {
	Name  string
	Value []byte
	// Override replaces the client's value; otherwise that one wins.
	Override bool
}

// Rewrite says how a request body becomes the body for one deployment. It is
// built once per deployment and shared; only Model and Usage vary by request.
type Rewrite struct {
	// Model is the provider model.
	Model string
	// Usage makes a streamed request ask for the usage event.
	Usage bool
	// NoStreamOptions removes stream_options: this upstream refuses them.
	NoStreamOptions bool
	// Metadata says what becomes of metadata.
	Metadata MetadataMode
	// Params are the deployment's own parameters, added where absent.
	Params []Param
	// Drop names members that this deployment must not see.
	Drop []string
	// RenameMaxTokens sends max_tokens as max_completion_tokens.
	RenameMaxTokens bool
	// OldMaxTokens sends max_completion_tokens as max_tokens.
	OldMaxTokens bool
	// SystemRole sends messages of the role developer as system.
	SystemRole bool
}

// renames says which member is sent under which other name; equal when none is.
func (w *Rewrite) renames() (from, to Member) {
	switch {
	case w.RenameMaxTokens:
		return MaxTokens, MaxCompletionTokens
	case w.OldMaxTokens:
		return MaxCompletionTokens, MaxTokens
	}
	return other, other
}

// Size returns an upper bound of what Append adds.
func (r *Request) Size(w *Rewrite) int {
	n := len(r.body) + 6*len(w.Model) + 96
	for i := range w.Params {
		n += 6*len(w.Params[i].Name) + len(w.Params[i].Value) + 16
	}
	return n
}

// Append appends the body for the upstream to dst: one contiguous text in which
// everything that w does not name stands as the client wrote it.
func (r *Request) Append(dst []byte, w *Rewrite) []byte {
	last := -1
	for i := len(r.entries) - 1; i >= 0; i-- {
		if !r.drops(&r.entries[i], w) {
			last = i
			break
		}
	}
	from := 0
	old, renamed := w.renames()
	for i := range r.entries[:last+1] {
		e := &r.entries[i]
		if e.member == other && len(w.Params) == 0 && len(w.Drop) == 0 {
			continue
		}
		if r.drops(e, w) {
			// With its comma and the white space in front of the next member.
			dst = append(dst, r.body[from:e.name-1]...)
			from = int(r.entries[i+1].name) - 1
			continue
		}
		switch {
		case e.member == Model && w.Model != "":
			dst = append(dst, r.body[from:e.value]...)
			dst = appendQuoted(dst, w.Model)
			from = int(e.end)
		case e.member == StreamOptions && w.Usage && r.stream && !r.usage:
			dst, from = r.appendOptions(dst, from, e)
		case e.member == Messages && w.SystemRole && r.says(e):
			dst = append(dst, r.body[from:e.value]...)
			dst = r.appendMessages(dst, e)
			from = int(e.end)
		case e.member == Metadata && w.Metadata == MetadataStored:
			dst = append(dst, r.body[from:e.value]...)
			dst = r.appendMetadata(dst)
			from = int(e.end)
		case e.member == old && old != renamed:
			dst = append(dst, r.body[from:e.name]...)
			dst = append(dst, names[renamed]...)
			from = int(e.nameEnd)
		default:
			if p := r.override(e, w); p != nil {
				dst = append(dst, r.body[from:e.value]...)
				dst = append(dst, p.Value...)
				from = int(e.end)
			}
		}
	}
	// What follows the last member that stays is dropped with the comma in
	// front of it; white space before the closing brace stays.
	if n := len(r.entries); n > 0 && last < n-1 {
		if last < 0 {
			dst = append(dst, r.body[from:r.entries[0].name-1]...)
		} else {
			dst = append(dst, r.body[from:r.entries[last].end]...)
		}
		from = int(r.entries[n-1].end)
	}
	dst = append(dst, r.body[from:r.close]...)
	comma := last >= 0
	if !r.Has(Model) && w.Model != "" {
		dst = appendName(dst, names[Model], &comma)
		dst = appendQuoted(dst, w.Model)
	}
	for i := range w.Params {
		p := &w.Params[i]
		if r.find(p.Name) || r.alias(p.Name) || p.Name == names[Model] || p.Name == names[Stream] {
			continue
		}
		name := p.Name
		if old != renamed && name == names[old] {
			name = names[renamed]
		}
		dst = appendName(dst, name, &comma)
		dst = append(dst, p.Value...)
	}
	if w.Usage && r.stream && !r.Has(StreamOptions) && !w.NoStreamOptions {
		dst = appendName(dst, names[StreamOptions], &comma)
		dst = append(dst, `{"include_usage":true}`...)
	}
	return append(dst, r.body[r.close:]...)
}

// drops reports whether the member is left out.
func (r *Request) drops(e *entry, w *Rewrite) bool {
	switch {
	case e.member.Strips():
		return true
	case e.member == Metadata:
		if w.Metadata == MetadataDrop || w.Metadata == MetadataStored && !r.storesMetadata() {
			return true
		}
	case e.member == StreamOptions:
		if w.NoStreamOptions {
			return true
		}
	case e.member == MaxTokens:
		// Both would be sent under one name: the newer one counts.
		if (w.RenameMaxTokens || w.OldMaxTokens) && r.Has(MaxCompletionTokens) {
			return true
		}
	case e.member == Model, e.member == Stream:
		return false
	}
	for _, name := range w.Drop {
		if keyIs(r.body[e.name:e.nameEnd], e.escaped, name) {
			return true
		}
	}
	return false
}

func (r *Request) override(e *entry, w *Rewrite) *Param {
	if e.member == Model || e.member == Stream {
		return nil
	}
	for i := range w.Params {
		p := &w.Params[i]
		if p.Override && keyIs(r.body[e.name:e.nameEnd], e.escaped, p.Name) {
			return p
		}
	}
	return nil
}

// find reports whether the client sent the member called name.
func (r *Request) find(name string) bool {
	for i := range r.entries {
		e := &r.entries[i]
		if keyIs(r.body[e.name:e.nameEnd], e.escaped, name) {
			return true
		}
	}
	return false
}

// alias reports whether the client has set the other of the two names of the
// limit of the answer; upstreams refuse both together.
func (r *Request) alias(name string) bool {
	return name == names[MaxCompletionTokens] && r.Has(MaxTokens) ||
		name == names[MaxTokens] && r.Has(MaxCompletionTokens)
}

// appendOptions appends stream_options with include_usage: true.
func (r *Request) appendOptions(dst []byte, from int, e *entry) (out []byte, next int) {
	switch {
	case r.optionsNil:
		dst = append(dst, r.body[from:e.value]...)
		return append(dst, `{"include_usage":true}`...), int(e.end)
	case r.usageSpan.end != 0:
		dst = append(dst, r.body[from:r.usageSpan.start]...)
		return append(dst, "true"...), r.usageSpan.end
	}
	inner := int(e.end) - 1
	dst = append(dst, r.body[from:inner]...)
	c := cursor{b: r.body, i: int(e.value) + 1, bad: -1}
	if c.space(); c.i != inner {
		dst = append(dst, ',')
	}
	return append(dst, `"include_usage":true`...), inner
}

// storesMetadata reports whether OpenAI would accept the request's metadata.
func (r *Request) storesMetadata() bool {
	if string(r.Raw(Store)) != "true" {
		return false
	}
	raw := r.Raw(Metadata)
	if len(raw) == 0 || raw[0] != '{' {
		return false
	}
	any := false
	r.eachMetadata(func(start, end int) { any = true })
	return any
}

func (r *Request) appendMetadata(dst []byte) []byte {
	dst = append(dst, '{')
	comma := false
	r.eachMetadata(func(start, end int) {
		if comma {
			dst = append(dst, ',')
		}
		comma = true
		dst = append(dst, r.body[start:end]...)
	})
	return append(dst, '}')
}

// eachMetadata calls f with the span of each member of metadata that may leave.
func (r *Request) eachMetadata(f func(start, end int)) {
	e := &r.entries[r.at[Metadata]-1]
	c := cursor{b: r.body[:e.end], i: int(e.value), bad: -1, nest: &r.nest}
	for k, ok := c.first(); ok; k, ok = c.next() {
		value := c.i
		if !c.skip() {
			return
		}
		name := r.body[k.start:k.end]
		if k.escaped {
			name = appendUnescaped(nil, name)
		}
		if r.body[value] == '"' && !hidden(name) {
			f(k.start-1, c.i)
		}
	}
}

func appendName(dst []byte, name string, comma *bool) []byte {
	if *comma {
		dst = append(dst, ',')
	}
	*comma = true
	dst = appendQuoted(dst, name)
	return append(dst, ':')
}
