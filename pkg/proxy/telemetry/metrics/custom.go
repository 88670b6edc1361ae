package metrics

import (
	"encoding/json"
	"slices"
	"strings"
)

// Custom are the configured labels: values of the request's metadata by path,
// and whether it has a tag.
type Custom struct {
	Metadata, Tags []string
}

// Names returns the labels' names.
func (c Custom) Names() (names []string) {
	for _, path := range c.Metadata {
		names = append(names, labelName(path))
	}
	for _, tag := range c.Tags {
		names = append(names, labelName("tag_"+tag))
	}
	return names
}

// maxValue bounds a value that a client gives.
const maxValue = 128

// Values returns the labels' values, joined by NUL.
func (c Custom) Values(metadata [][]byte, tags func() []string) string {
	if len(c.Metadata)+len(c.Tags) == 0 {
		return ""
	}
	list := make([]string, 0, len(c.Metadata)+len(c.Tags))
	if len(c.Metadata) > 0 {
		all := map[string]any{}
		for _, raw := range metadata {
			_ = json.Unmarshal(raw, &all) // what is no object has no labels
		}
		for _, path := range c.Metadata {
			list = append(list, lookUp(all, path))
		}
	}
	if len(c.Tags) > 0 {
		have := tags()
		for _, tag := range c.Tags {
			value := "false"
			if slices.ContainsFunc(have, func(t string) bool { return matches(tag, t) }) {
				value = "true"
			}
			list = append(list, value)
		}
	}
	return strings.Join(list, "\x00")
}

func lookUp(all map[string]any, path string) string {
	var value any = all
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "metadata."), ".") {
		m, ok := value.(map[string]any)
		if !ok {
			return ""
		}
		value = m[part]
	}
	text, _ := value.(string)
	if len(text) > maxValue {
		text = text[:maxValue]
	}
	return strings.ReplaceAll(text, "\x00", "")
}

// matches tries a tag with stars.
func matches(pattern, tag string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == tag
	}
	rest, ok := strings.CutPrefix(tag, parts[0])
	for _, part := range parts[1 : len(parts)-1] {
		var found bool
		_, rest, found = strings.Cut(rest, part)
		ok = ok && found
	}
	return ok && strings.HasSuffix(rest, parts[len(parts)-1])
}
