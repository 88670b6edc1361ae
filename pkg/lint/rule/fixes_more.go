package rule

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
)

func init() {
	for id, f := range map[string]func(u *Unit, h Hit) []finding.Edit{
		"CFG004": renameKey, "CFG005": moveKey,
		"CFG006": func(u *Unit, h Hit) []finding.Edit {
			n := u.nodeAt(h.Pos)
			text, _ := n.Scalar()
			seconds, ok := inSeconds(text)
			if _, likely := strings.CutPrefix(h.Fix, "write seconds: "); !ok || !likely {
				return nil
			}
			return replaceHere(u, h, seconds)
		},
		"CFG008": func(u *Unit, h Hit) []finding.Edit {
			ref, ok := strings.CutPrefix(h.Fix, "write "+refPrefix)
			n := u.Node(h.Path)
			if !ok || n == nil || shared(n) || !u.editable() {
				return nil
			}
			return replaceValue(n, refPrefix+strings.TrimSuffix(ref, "."))
		},
		"CFG013": func(u *Unit, h Hit) []finding.Edit {
			if !slices.Contains(withoutEffect, h.Path) {
				return nil
			}
			return deleteHere(u, h)
		},
		"DB001": func(u *Unit, _ Hit) []finding.Edit {
			limit := facts.Pool(u.Facts.Pool()).RecLimit
			if limit < 5 {
				return nil
			}
			if n := u.Node(poolKey); n != nil {
				if u.Resolve(n).Ref != "" || shared(n) || !u.editable() {
					return nil
				}
				return replaceValue(n, strconv.Itoa(limit))
			}
			return u.insert("general_settings", "database_connection_pool_limit: "+strconv.Itoa(limit))
		},
		"DB010": encodePassword,
		"DB018": func(u *Unit, h Hit) []finding.Edit {
			n := u.Node(h.Path)
			text, ok := n.Scalar()
			f := strings.Fields(text)
			if !ok || len(f) != 5 || shared(n) || !u.editable() {
				return nil
			}
			f[4] = weekday.ReplaceAllStringFunc(f[4], func(d string) string {
				return [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"}[d[0]-'0']
			})
			if strings.ContainsAny(f[4], "/0123456789") {
				return nil
			}
			return replaceValue(n, config.Quote(strings.Join(f, " ")))
		},
		"K8S023": writableDirs("migrations", "64Mi", "LITELLM_MIGRATION_DIR", "/app/migrations"),
		"K8S025": writableDirs("cache", "500Mi", "PRISMA_BINARY_CACHE_DIR", "/app/cache/prisma-python/binaries", "XDG_CACHE_HOME", "/app/cache"),
		"K8S030": func(u *Unit, h Hit) []finding.Edit {
			n := u.nodeAt(h.Pos)
			if n == nil || n.Key != "emptyDir" || shared(n) {
				return nil
			}
			name, _ := n.Parent().Get("name").Scalar()
			size := ""
			for word, s := range map[string]string{"ui": "100Mi", "asset": "10Mi", "cache": "500Mi", "migr": "64Mi"} {
				if strings.Contains(name, word) {
					size = s
				}
			}
			switch {
			case size == "":
				return nil // how much it holds is not in the files
			case n.Len() == 0 && n.Kind == config.Map && n.Pos.End-n.Pos.Offset == 2:
				return []finding.Edit{{File: n.Pos.File, Offset: n.Pos.Offset, End: n.Pos.End, Text: "{sizeLimit: " + size + "}"}}
			}
			return u.insertInto(n, "sizeLimit: "+size)
		},
		"K8S033": func(u *Unit, h Hit) []finding.Edit { return replaceHere(u, h, imageText(u)) },
		"MIG007": func(u *Unit, h Hit) []finding.Edit { return replaceHere(u, h, imageText(u)) },
		"LOG013": func(u *Unit, h Hit) []finding.Edit {
			n := u.Node(h.Path)
			if n == nil {
				return nil
			}
			if n.Parent().Kind == config.List && n.Parent().Len() == 1 {
				n = n.Parent()
			}
			h.Pos = n.Where()
			return deleteHere(u, h)
		},
		"MIG006": deleteHere,
		"PRF003": func(u *Unit, _ Hit) []finding.Edit {
			a, _ := u.recycling()
			n, ok := a.Int()
			if !ok || n < 10 {
				return nil
			}
			return u.appendArgs("--max_requests_before_restart_jitter", strconv.Itoa(n/10))
		},
		"PRF011": func(u *Unit, h Hit) []finding.Edit {
			model := u.Node(h.Path)
			if model == nil || !u.editable() {
				return nil
			}
			entry := model.Parent().Parent()
			text, _ := model.Scalar()
			mode := ""
			for _, m := range []struct{ word, mode string }{{"embed", "embedding"}, {"dall-e", "image_generation"}, {"image", "image_generation"}, {"whisper", "audio_transcription"}, {"transcri", "audio_transcription"}, {"tts", "audio_speech"}, {"rerank", "rerank"}} {
				if strings.Contains(strings.ToLower(text), m.word) {
					mode = m.mode
					break
				}
			}
			if info := entry.Get("model_info"); info != nil {
				return u.insertInto(info, "mode: "+mode)
			}
			return u.insertInto(entry, "model_info: {mode: "+mode+"}")
		},
		"PRF012": func(u *Unit, _ Hit) []finding.Edit {
			c := u.containerNode()
			if c == nil || len(u.Workload.Selector) == 0 {
				return nil
			}
			var labels []string
			for k, v := range u.Workload.Selector {
				labels = append(labels, config.Quote(k)+": "+config.Quote(v))
			}
			slices.Sort(labels)
			return u.insertInto(c.Parent().Parent(), "topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {"+strings.Join(labels, ", ")+"}}}]")
		},
		"RTE012": func(u *Unit, h Hit) []finding.Edit {
			n := u.Node(h.Path)
			if n == nil || n.Parent() == nil || n.Parent().Kind != config.Map {
				return nil
			}
			return u.deleteItem(n.Parent())
		},
		"RTE017": func(u *Unit, h Hit) []finding.Edit {
			n := u.Node(h.Path)
			text, ok := n.Scalar()
			if !ok || shared(n) || !u.editable() || strings.HasPrefix(text, refPrefix) {
				return nil
			}
			return replaceValue(n, config.Quote("openai/"+text))
		},
	} {
		if fixers[id] != nil && id != "MIG006" {
			panic("two fixers for " + id)
		}
		fixers[id] = f
	}
}

var weekday = regexp.MustCompile(`\b[0-7]\b`)

// withoutEffect are keys whose absence changes nothing.
var withoutEffect = []string{
	"general_settings.allow_user_auth", "general_settings.blocked_file_extensions", "general_settings.skip_batch_input_file_rate_limiting_for_models",
}

// editable reports whether the positions of the config are those of its file.
func (u *Unit) editable() bool {
	return u.Config != nil && u.Config.Exact && !u.Config.Root.Has("include")
}

// Repair fills in the edits of a hit that no check of a unit made, but the
// reader of the inputs.
func (m *Model) Repair(h *Hit) {
	r := byID[h.ID]
	if r == nil || !r.Engine || r.Fix == Manual || h.Edits != nil || fixers[h.ID] == nil {
		return
	}
	for _, u := range m.Units {
		if u.Config != nil && u.Config.File == h.Pos.File && u.nodeAt(h.Pos) != nil {
			h.Edits = fixers[h.ID](u, *h)
			return
		}
	}
}

// renameKey writes the one key that was probably meant.
func renameKey(u *Unit, h Hit) []finding.Edit {
	n := u.nodeAt(h.Pos)
	name, ok := strings.CutPrefix(h.Fix, "rename it to ")
	name = strings.TrimSuffix(name, ".")
	if !ok || n == nil || shared(n) || n.KeyPos.End <= n.KeyPos.Offset || !u.editable() || n.Parent().Has(name) || !identifier(name) {
		return nil
	}
	return []finding.Edit{{File: n.KeyPos.File, Offset: n.KeyPos.Offset, End: n.KeyPos.End, Text: name}}
}

// moveKey takes an entry from one section to the one that reads it.
func moveKey(u *Unit, h Hit) []finding.Edit {
	n := u.nodeAt(h.Pos)
	section, key, ok := strings.Cut(h.Path, ".")
	if !ok || n == nil || shared(n) || !u.editable() || n.Key != key {
		return nil
	}
	m, ok := litellm.Misplaced(section, key)
	if !ok || m.Owner == section || !slices.Contains(sections, m.Owner) || u.Section(m.Owner).Has(key) {
		return nil
	}
	from := n.Parent()
	if from.Len() == 1 && !u.Config.Root.Has(m.Owner) {
		// The section holds nothing else: it is the section that is misnamed.
		return []finding.Edit{{File: from.KeyPos.File, Offset: from.KeyPos.Offset, End: from.KeyPos.End, Text: m.Owner}}
	}
	data := u.Config.Data
	text := data[n.KeyPos.Offset:min(n.Pos.End, len(data))]
	if !n.IsScalar() && n.Style != config.Flow || bytes.ContainsRune(text, '\n') {
		return nil
	}
	gone := deleteHere(u, h)
	added := u.insert(m.Owner, string(text))
	if gone == nil || added == nil {
		return nil
	}
	return append(gone, added...)
}

// encodePassword writes what is reserved in the password of a URL as %XX. The
// last @ ends the password: no host name holds one.
func encodePassword(u *Unit, h Hit) []finding.Edit {
	v := u.DatabaseURL()
	scheme, rest, ok := strings.Cut(v.Text, "://")
	at := strings.LastIndexByte(rest, '@')
	if v.State != Known || !ok || at < 0 {
		return nil
	}
	user, password, ok := strings.Cut(rest[:at], ":")
	if !ok || strings.ContainsAny(rest[at+1:], "@ ") {
		return nil
	}
	// One edit a character, so that no edit holds the password.
	file, data, from := u.written(v)
	if from < 0 {
		return nil
	}
	from += len(scheme) + len("://") + len(user) + len(":")
	var out []finding.Edit
	for i := 0; i < len(password); i++ {
		c := password[i]
		switch {
		case c == '%' && i+2 < len(password) && hexDigit(password[i+1]) && hexDigit(password[i+2]),
			c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
		case data[from+i] != c:
			return nil
		default:
			out = append(out, finding.Edit{File: file, Offset: from + i, End: from + i + 1, Text: fmt.Sprintf("%%%02X", c)})
		}
	}
	return out
}

// written finds where a value stands in the text of its file letter by letter;
// -1 when it is written with escapes or shared.
func (u *Unit) written(v Val) (file string, data []byte, at int) {
	from, to := 0, 0
	if v.Ref == "" {
		if v.Node == nil || shared(v.Node) || !u.editable() {
			return "", nil, -1
		}
		file, data, from, to = v.Node.Pos.File, u.Config.Data, v.Node.Pos.Offset, v.Node.Pos.End
	} else {
		e, ok := u.Env.Lookup(v.Ref)
		if !ok {
			return "", nil, -1
		}
		for _, f := range u.Model.EnvFiles {
			if f.File != e.Pos.File {
				continue
			}
			i := slices.IndexFunc(f.Vars, func(w config.Var) bool { return w.Name == e.Name && w.Pos.Line == e.Pos.Line })
			if i < 0 {
				return "", nil, -1
			}
			file, data, from, to = f.File, f.Data, f.Vars[i].ValuePos.Offset, f.Vars[i].ValuePos.End
		}
		if n := u.nodeAt(e.Pos); data == nil && n != nil && !shared(n) {
			if n.Key == "name" {
				n = n.Parent().Get("value")
			}
			if n != nil {
				file, data, from, to = n.Pos.File, u.text(n), n.Pos.Offset, n.Pos.End
			}
		}
	}
	if data == nil || from < 0 || from > to || to > len(data) {
		return "", nil, -1
	}
	i := bytes.Index(data[from:to], []byte(v.Text))
	if i < 0 {
		return "", nil, -1
	}
	return file, data, from + i
}

func hexDigit(c byte) bool { return strings.IndexByte("0123456789abcdefABCDEF", c) >= 0 }

// imageText is the image of the gateway's container as it is written.
func imageText(u *Unit) string {
	n := u.nodeAt(u.Container.Image.Pos)
	if n == nil || u.Workload.Form != manifest.FromObject {
		return ""
	}
	return config.Quote(u.Container.Image.Ref)
}

// writableDirs mounts an emptyDir where variables point, and sets those that
// are not set.
func writableDirs(volume, size string, pairs ...string) func(*Unit, Hit) []finding.Edit {
	return func(u *Unit, h Hit) []finding.Edit {
		c := u.containerNode()
		if c == nil {
			return nil
		}
		pod := c.Parent().Parent()
		var edits, items []finding.Edit
		mount := pairs[len(pairs)-1]
		for i := 0; i < len(pairs); i += 2 {
			name, path := pairs[i], pairs[i+1]
			switch v := u.variable(name); {
			case v.State == Absent:
				e := setVariable(name, path)(u, h)
				if e == nil {
					return nil
				}
				if len(items) > 0 && items[0].Offset == e[0].Offset {
					items[0].Text += e[0].Text
				} else {
					items = append(items, e...)
				}
				if u.writable(path) {
					mount = ""
				}
			case v.State == Known && !u.writable(v.Text):
				mount = v.Text
			}
		}
		edits = append(edits, items...)
		if mount == "" || u.writable(mount) {
			return edits
		}
		if len(pairs) > 2 && !strings.HasPrefix(pairs[1], mount) {
			mount = pairs[len(pairs)-1]
		}
		if _, taken := u.Workload.Volume(volume); !taken {
			entry := "{name: " + volume + ", emptyDir: {sizeLimit: " + size + "}}"
			var e []finding.Edit
			if list := pod.Get("volumes"); list != nil {
				e = u.appendItem(list, entry)
			} else {
				e = u.insertInto(pod, "volumes: ["+entry+"]")
			}
			if e == nil {
				return nil
			}
			edits = append(edits, e...)
		} else if v, _ := u.Workload.Volume(volume); v.Kind != "emptyDir" {
			return nil
		}
		entry := "{name: " + volume + ", mountPath: " + config.Quote(mount) + "}"
		var e []finding.Edit
		if list := c.Get("volumeMounts"); list != nil {
			e = u.appendItem(list, entry)
		} else {
			e = u.insertInto(c, "volumeMounts: ["+entry+"]")
		}
		if e == nil {
			return nil
		}
		return joinInsertions(append(edits, e...))
	}
}

// joinInsertions makes one edit of insertions at one place.
func joinInsertions(edits []finding.Edit) []finding.Edit {
	var out []finding.Edit
	for _, e := range edits {
		i := slices.IndexFunc(out, func(o finding.Edit) bool {
			return o.File == e.File && o.Offset == e.Offset && o.End == e.End && o.Offset == o.End
		})
		if i < 0 {
			out = append(out, e)
			continue
		}
		out[i].Text += e.Text
	}
	return out
}

// appendArgs gives the launcher a flag and its value.
func (u *Unit) appendArgs(flag, value string) []finding.Edit {
	c := u.containerNode()
	list := c.Get("args")
	if list == nil || list.Kind != config.List || list.Len() == 0 || shared(list) || !strings.Contains(u.Container.Args[0].Text, "-") {
		return nil
	}
	if list.Style == config.Flow {
		if first, _ := list.At(0).Scalar(); !strings.HasPrefix(first, "--") {
			return nil
		}
		return u.appendItem(list, config.Quote(flag)+", "+config.Quote(value))
	}
	e := u.appendItem(list, config.Quote(flag))
	if e == nil {
		return nil
	}
	data := u.text(list)
	last := list.At(list.Len() - 1)
	start := bytes.LastIndexByte(data[:last.Pos.Offset], '\n') + 1
	e[0].Text += string(data[start:last.Pos.Offset]) + `"` + value + `"` + lineBreak(data)
	return e
}

// deleteItem takes an item out of a list.
func (u *Unit) deleteItem(n *config.Node) []finding.Edit {
	data := u.text(n)
	list := n.Parent()
	if data == nil || shared(n) || list == nil || list.Kind != config.List || list.Len() < 2 {
		return nil
	}
	if list.Style == config.Flow {
		return deleteFlow(n, data)
	}
	end := n.Pos.End
	if n.Kind == config.Map && n.Style == config.Block {
		end = 0
		for c := range n.Walk() {
			if c != n {
				end = max(end, c.Pos.End)
			}
		}
	}
	if end > len(data) {
		return nil
	}
	start := bytes.LastIndexByte(data[:n.Pos.Offset], '\n') + 1
	stop, ok := lineEnd(data, end)
	if !ok || strings.TrimSpace(string(data[start:n.Pos.Offset])) != "-" {
		return nil
	}
	return []finding.Edit{{File: n.Pos.File, Offset: start, End: stop}}
}

// deleteFlow takes an entry out of braces or brackets, with its comma. An
// emptied pair stays: {} and [] are what they say.
func deleteFlow(n *config.Node, data []byte) []finding.Edit {
	from := func(c *config.Node) int {
		if n.Parent().Kind == config.Map {
			return c.KeyPos.Offset
		}
		return c.Pos.Offset
	}
	list := n.Parent()
	items := list.Items()
	i := slices.Index(items, n)
	start, end := from(n), max(n.Pos.End, n.KeyPos.End)
	switch {
	case i > 0:
		start = max(items[i-1].Pos.End, items[i-1].KeyPos.End)
	case len(items) > 1:
		end = from(items[1])
	}
	if i < 0 || start > end || end > len(data) || bytes.ContainsAny(data[start:end], "#\n") {
		return nil
	}
	return []finding.Edit{{File: n.Pos.File, Offset: start, End: end}}
}
