package lint

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Fingerprint identifies a finding across edits elsewhere in the file: it holds
// no line numbers, and no values of the files.
func Fingerprint(r *Result, h rule.Hit) string {
	identity := ""
	if r.Model != nil {
		for _, o := range r.Model.ObjectsOf(h.Pos.File) {
			if h.Pos.Line >= o.FirstLine && h.Pos.Line <= o.LastLine {
				identity = o.String()
			}
		}
	}
	what := h.Path
	if what == "" {
		what = h.Message
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{h.ID, h.Pos.File, identity, what}, "\x00")))
	return hex.EncodeToString(sum[:6])
}
