package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/splice"
)

// Items of a response that hold encrypted reasoning can be read by the
// organization alone that made them. As in LiteLLM the deployment is written
// into the item, so that the next request, which sends it back, finds the way
// without anything being kept: into its id, and before its encrypted content.
const (
	itemPrefix    = "encitem_"
	itemText      = "litellm:model_id:"
	itemID        = ";item_id:"
	contentPrefix = "litellm_enc:"
	contentText   = "model_id:"
)

func sealItemID(deployment, id string) string {
	return itemPrefix + base64.StdEncoding.EncodeToString([]byte(itemText+deployment+itemID+id))
}

func sealContent(deployment, content string) string {
	return contentPrefix + base64.StdEncoding.EncodeToString([]byte(contentText+deployment)) + ";" + content
}

// unpadded decodes base64 whose padding may have been lost on the way.
func unpadded(text string) (string, bool) {
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	return string(raw), err == nil
}

func openItemID(sealed string) (id, deployment string, ok bool) {
	rest, ok := strings.CutPrefix(sealed, itemPrefix)
	if !ok {
		return "", "", false
	}
	text, ok := unpadded(rest)
	if !ok {
		return "", "", false
	}
	if text, ok = strings.CutPrefix(text, itemText); !ok {
		return "", "", false
	}
	deployment, id, ok = strings.Cut(text, itemID)
	return id, deployment, ok
}

func openContent(sealed string) (content, deployment string, ok bool) {
	rest, ok := strings.CutPrefix(sealed, contentPrefix)
	if !ok {
		return "", "", false
	}
	head, content, ok := strings.Cut(rest, ";")
	if !ok {
		return "", "", false
	}
	text, ok := unpadded(head)
	if !ok {
		return "", "", false
	}
	deployment, ok = strings.CutPrefix(text, contentText)
	return content, deployment, ok
}

// openItems takes the marks off the items of a request's input, and returns the
// deployment that each of them names, empty for none. ok says whether there were
// any marks.
func openItems(input []byte) (plain []byte, origins []string, ok bool) {
	if !bytes.Contains(input, []byte(itemPrefix)) && !bytes.Contains(input, []byte(contentPrefix)) {
		return nil, nil, false
	}
	plain = editElements(input, func(item []byte) []byte {
		deployment := ""
		defer func() { origins = append(origins, deployment) }()
		return editMembers(item, func(name string, value []byte) []byte {
			text := ""
			if name != "id" && name != "encrypted_content" || json.Unmarshal(value, &text) != nil {
				return value
			}
			open := openItemID
			if name != "id" {
				open = openContent
			}
			was, by, marked := open(text)
			if !marked {
				return value
			}
			if ok = true; deployment == "" {
				deployment = by
			}
			return marshal(was)
		})
	})
	return plain, origins, ok
}

// sealItems marks the items of an answer, or of an event of a stream, with the
// deployment that has made them. What has no encrypted content stays as it is.
func sealItems(answer []byte, deployment string) []byte {
	if !bytes.Contains(answer, []byte(`"encrypted_content"`)) {
		return answer
	}
	output := func(value []byte) []byte {
		return editElements(value, func(item []byte) []byte { return sealItem(item, deployment, true) })
	}
	return editMembers(answer, func(name string, value []byte) []byte {
		switch name {
		case "output":
			return output(value)
		case "response": // of the last event
			return editMembers(value, func(name string, value []byte) []byte {
				if name == "output" {
					return output(value)
				}
				return value
			})
		case "item": // of an event; its id is that of other events, too
			return sealItem(value, deployment, false)
		}
		return value
	})
}

func sealItem(item []byte, deployment string, id bool) []byte {
	var v struct {
		Content string `json:"encrypted_content"`
	}
	if json.Unmarshal(item, &v) != nil || v.Content == "" {
		return item
	}
	return editMembers(item, func(name string, value []byte) []byte {
		text := ""
		switch {
		case name == "encrypted_content":
			return marshal(sealContent(deployment, v.Content))
		case name == "id" && id && json.Unmarshal(value, &text) == nil && text != "":
			return marshal(sealItemID(deployment, text))
		}
		return value
	})
}

// editElements is a JSON list with its elements edited, without those that come
// out empty; what is no list stays.
func editElements(list []byte, edit func([]byte) []byte) []byte {
	var all []json.RawMessage
	if json.Unmarshal(list, &all) != nil || all == nil {
		return list
	}
	out := []byte{'['}
	for _, e := range all {
		e = edit(e)
		if len(e) > 0 && len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}

// editMembers is a JSON object with the values of its members edited, in its order
// and otherwise byte for byte; what is no object stays.
func editMembers(object []byte, edit func(name string, value []byte) []byte) []byte {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return object
	}
	var out []byte
	from := 0
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return object
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return object
		}
		end := int(d.InputOffset())
		out = append(out, object[from:end-len(value)]...)
		key, _ := name.(string)
		out = append(out, edit(key, value)...)
		from = end
	}
	if from == 0 {
		return object
	}
	return append(out, object[from:]...)
}

// reopened takes off the marks of items that an answer of an earlier call held.
func (c *chat) reopened() {
	plain, origins, ok := openItems(c.request.Raw(splice.Input))
	if !ok {
		return
	}
	if c.a.o.Affinity.Encrypted {
		c.origins = origins
		for _, c.affinity.Origin = range origins {
			if c.affinity.Origin != "" {
				break
			}
		}
	}
	if c.replace(map[string]json.RawMessage{splice.Input.String(): plain}) {
		c.in.b = append(c.in.b[:0], c.request.Body()...)
		_ = c.request.Scan(c.in.b)
	}
}

// readable leaves out of a request what a deployment cannot read: the encrypted
// reasoning of another that has another address or key. What can be read of it
// stays, so that the call need not fail. Items without a mark count as those of
// the first that has one.
func (c *chat) readable(d *call.Deployment) {
	if c.stripped {
		c.stripped = false
		_ = c.request.Scan(c.in.b)
	}
	reads := map[string]bool{d.ID: true}
	for _, o := range c.a.o.Router.Deployments() {
		if o.APIBase == d.APIBase && o.APIBase != "" && o.APIKey.Reveal() == d.APIKey.Reveal() && o.APIKey.Reveal() != "" {
			reads[o.ID] = true
		}
	}
	i, changed := -1, false
	input := editElements(c.request.Raw(splice.Input), func(item []byte) []byte {
		i++
		origin := c.affinity.Origin
		if i < len(c.origins) && c.origins[i] != "" {
			origin = c.origins[i]
		}
		if reads[origin] {
			return item
		}
		without := unreadable(item)
		changed = changed || len(without) != len(item)
		return without
	})
	if changed {
		c.stripped = c.replace(map[string]json.RawMessage{splice.Input.String(): input})
	}
}

// unreadable is an item without its encrypted reasoning; empty when nothing of
// it can be read.
func unreadable(item []byte) []byte {
	var v struct {
		Type      string
		Encrypted string `json:"encrypted_content"`
		Summary   any
		Content   any
	}
	if json.Unmarshal(item, &v) != nil || v.Type != "reasoning" || v.Encrypted == "" {
		return item
	}
	if !legible(v.Summary) && !legible(v.Content) {
		return nil
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(item, &all) != nil {
		return item
	}
	delete(all, "encrypted_content")
	delete(all, "id")
	return marshal(all)
}

// legible reports whether a summary or a content holds a text.
func legible(v any) bool {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v) != ""
	case []any:
		for _, e := range v {
			if block, ok := e.(map[string]any); ok {
				if text, _ := block["text"].(string); text != "" {
					return true
				}
			}
		}
	}
	return false
}
