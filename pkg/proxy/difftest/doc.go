// Package difftest asks the LiteLLM proxy and llmgw the same questions, with
// the same configuration and in front of the same scripted upstream, and holds
// every difference in status, headers and shape of the body against a list of
// the ones that are meant or known.
//
// It holds tests only. They need an installed proxy of the emulated release:
// LLMGW_LITELLM names its executable, else `make differential` installs one
// into the tests' cache.
package difftest
