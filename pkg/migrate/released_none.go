//go:build !litellmset

package migrate

// Released is LiteLLM's set as a release build carries it; ok is false in any
// other build.
func Released() (s *Set, ok bool) { return nil, false }

// ReleasedLicence is the licence of those files.
func ReleasedLicence() string { return "" }
