package render

import (
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
)

// Options say what to render. Unset numbers (see [facts.Origin]) are derived;
// the origin of a set one names its flag.
type Options struct {
	Engine Engine
	// Chart renders for Helm: hooks are run there, and the result can be
	// written with [Result.WriteChart].
	Chart bool
	// Tree is the configuration with its references kept; nil takes the
	// production example and says so.
	Tree *config.Tree
	// Version is llmgw's own, for the image tag and the header.
	Version string

	Target         facts.Target // llmgw when empty
	Image          string
	LiteLLMVersion string
	Name           string
	Namespace      string

	Replicas    facts.Int
	MaxReplicas facts.Int // a set 0 means no HPA
	NoHPA       bool
	AllowSingle bool
	NumWorkers  facts.Int

	// Ceiling holds --max-db-connections or --max-connections, and
	// --db-reserve.
	Ceiling   facts.Ceiling
	PoolLimit facts.Int

	RequestTimeout facts.Seconds
	PreStop        facts.Int
	ShutdownMargin facts.Int

	HPACPU    facts.Int
	HPAMemory facts.Int // a set 0 means off

	CPUPerWorker    string // Kubernetes quantities
	MemoryPerWorker string

	Migrations   string // job, init, argocd, argocd-sync, none; empty: by target
	WritableRoot bool   // --read-only-fs=false
	UI           *bool
	RunAsUser    facts.Int

	Secrets         string // reference, external, template; empty: reference
	SecretName      string
	SecretStore     string // NAME or NAME,Kind
	AllowPlaintext  bool
	ExtractSecrets  bool
	OptionalEnv     []string
	WithDB          bool
	KnownEnv        *config.Env // names that --env-file holds; nil: not checked
	MaxRequests     facts.Int
	RunGunicorn     bool
	Overrides       Overrides
	KubeVersion     string // 1.31 when empty
	WithoutValidate bool
}

// chosen is an option or its default.
func chosen(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}
