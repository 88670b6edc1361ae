package redact

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// pattern masks group 2 of a match and keeps groups 1 and 3. Each match starts
// with group 1. No text without one of needs, in whatever case, matches: looking
// for words costs a hundredth of a regular expression.
type pattern struct {
	find  string
	keep  string
	needs []string
}

// The patterns stand in the order in which they are applied: the widest forms
// first, so that a URL password that looks like a provider key is masked once.
var patterns = []pattern{
	// PEM private keys, whole.
	{`(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`, `${1}` + Mask + `${2}`, []string{"private key-----"}},
	// scheme://user:password@host. The password runs to the last @ before the
	// next slash, blank or quote, since people paste unescaped @ signs.
	{`([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@"']*:)[^\s/"']+(@)`, `${1}` + Mask + `${2}`, []string{"://"}},
	// Authorization headers and their values in foreign text.
	{`(?i)\b(bearer|basic|token)(\s+)[A-Za-z0-9._~+/=-]{6,}`, `${1}${2}` + Mask, []string{"bearer", "basic", "token"}},
	// name=value and name: value with a secret's name; quoted values may hold blanks.
	{`(?i)((?:api[-_]?key|x-api-key|apikey|access[-_]?key|secret[-_]?access[-_]?key|secret|client[-_]?secret|password|passwd|pwd|authorization|session[-_]?token|auth[-_]?token|access[-_]?token|refresh[-_]?token|salt[-_]?key|master[-_]?key|private[-_]?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|["'\[{(]*[^\s,;&"'}\])]+)`, `${1}` + Mask, []string{"key", "secret", "passw", "pwd", "authorization", "token"}},
	// ?key=... of Google APIs, sig= of signed URLs.
	{`([?&](?:key|sig|signature|X-Amz-Signature|X-Amz-Security-Token)=)[^&\s"']+`, `${1}` + Mask, []string{"?", "&"}},
	// Keys that are recognisable by their own shape.
	{`\b(sk-|gsk_|xai-|hf_|pplx-|r8_|nvapi-|fw_|csk-|esecret_|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abpors]-|dapi|rk_live_|sk_live_)[A-Za-z0-9_-]{4,}`, `${1}` + Mask, []string{"sk-", "gsk_", "xai-", "hf_", "pplx-", "r8_", "nvapi-", "fw_", "esecret_", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox", "dapi", "k_live_"}},
	{`\b(AIza)[A-Za-z0-9_-]{20,}`, `${1}` + Mask, []string{"aiza"}},
	{`\b(AKIA|ASIA)[A-Z0-9]{12,}`, `${1}` + Mask, []string{"akia", "asia"}},
	{`\b(ya29\.)[A-Za-z0-9._-]{8,}`, `${1}` + Mask, []string{"ya29."}},
	// JSON web tokens.
	{`\b(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`, `${1}` + Mask, []string{"eyj"}},
	// Slack webhooks carry their secret in the path.
	{`(https://hooks\.slack\.com/(?:services|workflows)/)[^\s"']+`, `${1}` + Mask, []string{"hooks.slack.com"}},
}

// compiled is built on first use: masking happens on error paths only, and a
// binary that starts in milliseconds cannot afford regular expressions at init.
var compiled = sync.OnceValue(func() []*regexp.Regexp {
	list := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		list[i] = regexp.MustCompile(p.find)
	}
	return list
})

// Text masks whatever looks like a secret in text that llmgw did not write:
// upstream errors, SQL errors, log tails. Secrets that are known in full
// should be passed as well; they are masked wherever they stand. It never
// returns an error and is idempotent.
func Text(text string, known ...Secret) string {
	for _, k := range known {
		if len(k.text) >= shortest {
			text = strings.ReplaceAll(text, k.text, Mask)
		}
	}
	return TextAt(text, nil, nil)
}

// TextAt is [Text] for a reader who has to find places of the text again: it
// moves the offsets to where the same places are in the masked text. Of a
// place inside a secret, one of starts goes to the front of the mask and one of
// ends behind it.
func TextAt(text string, starts, ends []int) string {
	// "master_key: environment variable KEY is not set" is a sentence of llmgw's
	// that names no value; the marker keeps it from reading as one.
	text = strings.ReplaceAll(text, namedVariable, namedMarker)
	may := candidates(text)
	for i, p := range patterns {
		if !may(p) {
			continue
		}
		re := compiled()[i]
		found := re.FindAllStringSubmatchIndex(text, -1)
		if found == nil {
			continue
		}
		var out []byte
		done := 0
		newStarts, newEnds := slices.Clone(starts), slices.Clone(ends)
		for _, m := range found {
			out = append(out, text[done:m[0]]...)
			front := len(out) + m[3] - m[0]
			out = re.ExpandString(out, p.keep, text, m)
			done = m[1]
			for j, at := range starts {
				switch {
				case at >= m[1]:
					newStarts[j] = len(out) + at - m[1]
				case at > m[3]:
					newStarts[j] = front
				case at >= m[0]:
					newStarts[j] = front - (m[3] - at)
				}
			}
			for j, at := range ends {
				switch {
				case at >= m[1]:
					newEnds[j] = len(out) + at - m[1]
				case at > m[3]:
					newEnds[j] = len(out)
				case at >= m[0]:
					newEnds[j] = front - (m[3] - at)
				}
			}
		}
		text = string(append(out, text[done:]...))
		copy(starts, newStarts)
		copy(ends, newEnds)
	}
	return strings.ReplaceAll(text, namedMarker, namedVariable)
}

// Long are the stretches of a text that [Text] masks and that are at least so
// many bytes long, in order: what somebody who masks the text a piece at a time
// has to know of beforehand.
func Long(text string, least int) [][2]int {
	var out [][2]int
	may := candidates(text)
	for i, p := range patterns {
		if len(text) < least || !may(p) {
			continue
		}
		for at := 0; at < len(text); {
			m := compiled()[i].FindStringSubmatchIndex(text[at:])
			if m == nil {
				break
			}
			if m[1]-m[0] >= least {
				out = append(out, [2]int{at + m[3], at + m[1]})
			}
			at += max(m[1], 1)
		}
	}
	slices.SortFunc(out, func(a, b [2]int) int { return cmp.Or(a[0]-b[0], a[1]-b[1]) })
	return out
}

// candidates tells the patterns that may match a text from those that cannot.
func candidates(text string) func(pattern) bool {
	// Two letters fold to ASCII ones for a regular expression alone.
	if strings.ContainsAny(text, "\u017f\u212a") {
		return func(pattern) bool { return true }
	}
	lower := strings.ToLower(text)
	return func(p pattern) bool {
		return slices.ContainsFunc(p.needs, func(word string) bool { return strings.Contains(lower, word) })
	}
}

// The marker has no colon, so no pattern sees a name with its value in it.
const (
	namedVariable = ": environment variable "
	namedMarker   = ",\x00environment variable "
)
