// Package catalog knows the providers (how a model string names one, where it
// is reached, which variable holds its key, which wire format it speaks) and
// the models (prices, limits, capabilities).
//
// It answers from embedded data and from what its caller passes in. It must not
// read the environment, open connections, or hold a secret: it names the
// variable that holds a key, never the key. The data is decoded on first use;
// importing the package costs nothing at start-up.
package catalog
