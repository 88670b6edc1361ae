package litellm

import "strings"

// wellKnownKeys are the master keys of tutorials: everybody knows them.
var wellKnownKeys = [...]string{"sk-1234", "sk-12345", "sk-123456", "sk-master", "sk-test", "sk-litellm"}

// placeholderParts betray a value that was copied from an example. They are
// compared in lower case, anywhere in the value.
var placeholderParts = [...]string{
	"fake-key",
	"exampleopenaiendpoint-production.up.railway.app",
	"exampleanthropicendpoint",
	"example-slack-webhook-url",
	"exampleonly",
	"notagreatpassword",
	"changeme",
	"change-me",
	"changeit",
}

// WellKnownKey reports whether a master key is one that everybody knows: a
// tutorial's, or a placeholder.
func WellKnownKey(key string) bool {
	word := strings.ToLower(strings.TrimSpace(key))
	for _, k := range wellKnownKeys {
		if word == k {
			return true
		}
	}
	return Placeholder(word)
}

// Placeholder reports whether a value was meant to be replaced before use: a
// documentation example, "<your key>", "your-…", or a text that ends in "...".
func Placeholder(value string) bool {
	word := strings.ToLower(strings.TrimSpace(value))
	for _, part := range placeholderParts {
		if strings.Contains(word, part) {
			return true
		}
	}
	if len(word) > 2 && word[0] == '<' && word[len(word)-1] == '>' {
		return true
	}
	bare := strings.TrimPrefix(word, "sk-")
	return strings.HasPrefix(bare, "your-") || strings.HasPrefix(bare, "your_") ||
		strings.HasSuffix(word, "...") || strings.HasSuffix(word, "…")
}
