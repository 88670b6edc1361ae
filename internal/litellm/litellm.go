// Package litellm is LiteLLM's vocabulary as data: the configuration keys of
// every section, the command-line flags, the environment variables with the
// words they understand, the renamed and misplaced names, the releases with
// known faults, and the error texts clients match on. Every command asks this
// one package, so that `serve`, `doctor` and the documentation cannot disagree
// about what a name means.
//
// It must not read files, the environment or the network, and it decides
// nothing: it answers questions about names. The tables are small text files
// under data/, embedded and decoded on first use, so that importing the package
// costs nothing at start-up.
package litellm

//go:generate go test . -run Generated -update

// Compat is the LiteLLM release whose names, versions and answers llmgw takes
// over. All tables of this package were checked against that release (see
// tools/vocab); raising it is a commit of its own.
const Compat = "1.106.2"
