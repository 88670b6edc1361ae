package redact

import (
	"regexp"
	"strings"
	"sync"
)

// pattern masks group 2 of a match and keeps groups 1 and 3.
type pattern struct {
	find string
	keep string
}

// The patterns stand in the order in which they are applied: the widest forms
// first, so that a URL password that looks like a provider key is masked once.
var patterns = []pattern{
	// PEM private keys, whole.
	{`(?s)(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`, `${1}` + Mask + `${2}`},
	// scheme://user:password@host. The password runs to the last @ before the
	// next slash, blank or quote, since people paste unescaped @ signs.
	{`([A-Za-z][A-Za-z0-9+.-]*://[^\s:/@"']*:)[^\s/"']+(@)`, `${1}` + Mask + `${2}`},
	// Authorization headers and their values in foreign text.
	{`(?i)\b(bearer|basic|token)(\s+)[A-Za-z0-9._~+/=-]{6,}`, `${1}${2}` + Mask},
	// name=value and name: value with a secret's name; quoted values may hold blanks.
	{`(?i)((?:api[-_]?key|x-api-key|apikey|access[-_]?key|secret[-_]?access[-_]?key|secret|client[-_]?secret|password|passwd|pwd|authorization|session[-_]?token|auth[-_]?token|access[-_]?token|refresh[-_]?token|salt[-_]?key|master[-_]?key|private[-_]?key)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|["'\[{(]*[^\s,;&"'}\])]+)`, `${1}` + Mask},
	// ?key=... of Google APIs, sig= of signed URLs.
	{`([?&](?:key|sig|signature|X-Amz-Signature|X-Amz-Security-Token)=)[^&\s"']+`, `${1}` + Mask},
	// Keys that are recognisable by their own shape.
	{`\b(sk-|gsk_|xai-|hf_|pplx-|r8_|nvapi-|fw_|csk-|esecret_|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abpors]-|dapi|rk_live_|sk_live_)[A-Za-z0-9_-]{4,}`, `${1}` + Mask},
	{`\b(AIza)[A-Za-z0-9_-]{20,}`, `${1}` + Mask},
	{`\b(AKIA|ASIA)[A-Z0-9]{12,}`, `${1}` + Mask},
	{`\b(ya29\.)[A-Za-z0-9._-]{8,}`, `${1}` + Mask},
	// JSON web tokens.
	{`\b(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*`, `${1}` + Mask},
	// Slack webhooks carry their secret in the path.
	{`(https://hooks\.slack\.com/(?:services|workflows)/)[^\s"']+`, `${1}` + Mask},
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
		// Very short secrets would mask parts of ordinary words.
		if len(k.text) >= 4 {
			text = strings.ReplaceAll(text, k.text, Mask)
		}
	}
	// "master_key: environment variable KEY is not set" is a sentence of llmgw's
	// that names no value; the marker keeps it from reading as one.
	text = strings.ReplaceAll(text, namedVariable, namedMarker)
	for i, re := range compiled() {
		text = re.ReplaceAllString(text, patterns[i].keep)
	}
	return strings.ReplaceAll(text, namedMarker, namedVariable)
}

// The marker has no colon, so no pattern sees a name with its value in it.
const (
	namedVariable = ": environment variable "
	namedMarker   = ",\x00environment variable "
)

// Key abbreviates a virtual or provider key for people: its usual prefix and
// its last four characters, "sk-...abcd". A key too short to hide anything
// that way is masked whole.
func Key(key string) string {
	if len(key) < 12 {
		if key == "" {
			return ""
		}
		return Mask
	}
	prefix := ""
	if strings.HasPrefix(key, "sk-") {
		prefix = "sk-"
	}
	return prefix + "..." + key[len(key)-4:]
}
