package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
)

type gitlabIssue struct {
	Description string         `json:"description"`
	Check       string         `json:"check_name"`
	Fingerprint string         `json:"fingerprint"`
	Severity    string         `json:"severity"`
	Location    gitlabLocation `json:"location"`
}

type gitlabLocation struct {
	Path  string      `json:"path"`
	Lines gitlabLines `json:"lines"`
}

type gitlabLines struct {
	Begin int `json:"begin"`
}

// GitLab writes a Code Quality report, which merge requests show beside the
// lines it names.
func GitLab(w io.Writer, r *lint.Result, o Options) error {
	severity := map[finding.Severity]string{finding.Error: "critical", finding.Warning: "major", finding.Info: "info"}
	issues := []gitlabIssue{}
	times := map[string]int{}
	for _, h := range shown(r.Findings, o.MinSeverity) {
		// GitLab drops the second of two issues with one fingerprint.
		print := lint.Fingerprint(r, h)
		times[print]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", print, times[print]))
		issues = append(issues, gitlabIssue{
			Description: h.ID + " " + h.Name + ": " + h.Message, Check: h.ID, Fingerprint: hex.EncodeToString(sum[:]),
			Severity: severity[h.Severity], Location: gitlabLocation{filepath.ToSlash(h.Pos.File), gitlabLines{max(1, h.Pos.Line)}},
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(issues)
}
