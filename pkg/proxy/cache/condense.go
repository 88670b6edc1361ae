package cache

import (
	"bytes"
	"encoding/json"
	"slices"
)

// condense turns the events of a complete stream into the few that a client
// needs to get the same answer: one with everything the model said, one with
// the reason why it ended, and the usage where the client asked for it. A stream
// with something in it that cannot be joined is kept as it is; one that is not
// complete is not kept: nil.
func condense(stream []byte) []byte {
	const done = "data: [DONE]"
	if !bytes.Contains(stream, []byte(done)) {
		return nil
	}
	joined, ok := join(stream)
	if !ok {
		return bytes.Clone(stream)
	}
	return joined
}

type object = map[string]json.RawMessage

// joiner gathers the chunks of one chat stream.
type joiner struct {
	first   object
	choices map[int]*choice
	usage   object // the chunk of its own
}

type choice struct {
	index  int
	texts  map[string]*bytes.Buffer // members of delta that are joined
	role   json.RawMessage
	tools  []*tool
	reason json.RawMessage
}

type tool struct {
	index          int
	id, kind, name json.RawMessage
	arguments      bytes.Buffer
}

// events calls visit with the data of each event.
func events(stream []byte, visit func(data []byte) bool) bool {
	for line := range bytes.Lines(stream) {
		line = bytes.TrimRight(line, "\r\n")
		data, ok := bytes.CutPrefix(line, []byte("data:"))
		switch {
		case ok:
			if !visit(bytes.TrimSpace(data)) {
				return false
			}
		case len(line) > 0 && line[0] != ':':
			return false // event names, ids: another kind of stream
		}
	}
	return true
}

func join(stream []byte) ([]byte, bool) {
	j := joiner{choices: map[int]*choice{}}
	ok := events(stream, func(data []byte) bool {
		if string(data) == "[DONE]" {
			return true
		}
		var chunk object
		if json.Unmarshal(data, &chunk) != nil {
			return false
		}
		return j.add(chunk)
	})
	if !ok || j.first == nil || len(j.choices) == 0 {
		return nil, false
	}
	return j.render()
}

func (j *joiner) add(chunk object) bool {
	var list []object
	if json.Unmarshal(chunk["choices"], &list) != nil {
		return false
	}
	if len(list) == 0 {
		if u := chunk["usage"]; u == nil || string(u) == "null" || j.usage != nil {
			return false
		}
		j.usage = chunk
		return true
	}
	for name, v := range chunk {
		switch name {
		case "choices", "id", "object", "created", "model", "system_fingerprint", "service_tier":
		default:
			// What only some chunks say (a usage beside choices, a vendor's own
			// member) has no place in the joined ones.
			if string(v) != "null" && (j.first == nil && name == "usage" || j.first != nil && !bytes.Equal(v, j.first[name])) {
				return false
			}
		}
	}
	if j.first == nil {
		j.first = chunk
	}
	for _, c := range list {
		if !j.choice(c) {
			return false
		}
	}
	return true
}

func (j *joiner) choice(c object) bool {
	var index int
	if json.Unmarshal(c["index"], &index) != nil {
		return false
	}
	for name, v := range c {
		switch name {
		case "index", "delta", "finish_reason":
		default:
			if string(v) != "null" { // logprobs and what else there may be
				return false
			}
		}
	}
	ch := j.choices[index]
	if ch == nil {
		ch = &choice{index: index, texts: map[string]*bytes.Buffer{}}
		j.choices[index] = ch
	}
	if r := c["finish_reason"]; r != nil && string(r) != "null" {
		if ch.reason != nil {
			return false
		}
		ch.reason = r
	}
	var delta object
	if d := c["delta"]; d != nil && json.Unmarshal(d, &delta) != nil {
		return false
	}
	for name, v := range delta {
		if !ch.add(name, v) {
			return false
		}
	}
	return true
}

func (ch *choice) add(name string, v json.RawMessage) bool {
	if string(v) == "null" {
		return true
	}
	switch name {
	case "role":
		if ch.role == nil {
			ch.role = v
		}
		return true
	case "content", "refusal", "reasoning_content", "reasoning":
		var text string
		if json.Unmarshal(v, &text) != nil {
			return false
		}
		b := ch.texts[name]
		if b == nil {
			b = &bytes.Buffer{}
			ch.texts[name] = b
		}
		b.WriteString(text)
		return true
	case "tool_calls":
		var list []struct {
			Index    *int            `json:"index"`
			ID       json.RawMessage `json:"id"`
			Type     json.RawMessage `json:"type"`
			Function struct {
				Name      json.RawMessage `json:"name"`
				Arguments string          `json:"arguments"`
			} `json:"function"`
		}
		d := json.NewDecoder(bytes.NewReader(v))
		d.DisallowUnknownFields()
		if d.Decode(&list) != nil {
			return false
		}
		for _, part := range list {
			if part.Index == nil {
				return false
			}
			at := slices.IndexFunc(ch.tools, func(t *tool) bool { return t.index == *part.Index })
			if at < 0 {
				at = len(ch.tools)
				ch.tools = append(ch.tools, &tool{index: *part.Index})
			}
			t := ch.tools[at]
			set := func(into *json.RawMessage, v json.RawMessage) {
				if len(*into) == 0 && len(v) > 0 && string(v) != "null" {
					*into = v
				}
			}
			set(&t.id, part.ID)
			set(&t.kind, part.Type)
			set(&t.name, part.Function.Name)
			t.arguments.WriteString(part.Function.Arguments)
		}
		return true
	}
	return false
}

func (j *joiner) render() ([]byte, bool) {
	var said, ended []object
	indexes := make([]int, 0, len(j.choices))
	for i := range j.choices {
		indexes = append(indexes, i)
	}
	slices.Sort(indexes)
	for _, i := range indexes {
		ch := j.choices[i]
		if ch.reason == nil {
			return nil, false
		}
		said = append(said, object{"index": encoded(i), "delta": encoded(ch.delta()), "finish_reason": json.RawMessage("null")})
		ended = append(ended, object{"index": encoded(i), "delta": json.RawMessage("{}"), "finish_reason": ch.reason})
	}
	var out bytes.Buffer
	event := func(chunk object) {
		out.WriteString("data: ")
		out.Write(encoded(chunk))
		out.WriteString("\n\n")
	}
	for _, choices := range [][]object{said, ended} {
		chunk := object{}
		for name, v := range j.first {
			chunk[name] = v
		}
		chunk["choices"] = encoded(choices)
		event(chunk)
	}
	if j.usage != nil {
		event(j.usage)
	}
	out.WriteString("data: [DONE]\n\n")
	return out.Bytes(), true
}

func (ch *choice) delta() object {
	d := object{}
	if ch.role != nil {
		d["role"] = ch.role
	}
	for name, text := range ch.texts {
		d[name] = encoded(text.String())
	}
	if len(ch.tools) > 0 {
		list := make([]object, 0, len(ch.tools))
		for _, t := range ch.tools {
			f := object{"arguments": encoded(t.arguments.String())}
			if t.name != nil {
				f["name"] = t.name
			}
			o := object{"index": encoded(t.index), "function": encoded(f)}
			if t.id != nil {
				o["id"] = t.id
			}
			if t.kind != nil {
				o["type"] = t.kind
			}
			list = append(list, o)
		}
		d["tool_calls"] = encoded(list)
	}
	return d
}

// encoded is for values that can always be encoded. HTML characters stay as
// they are, as models wrote them.
func encoded(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
	return bytes.TrimRight(b.Bytes(), "\n")
}
