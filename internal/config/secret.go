package config

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
)

// secretEnds are the ends of names under which secrets are kept.
var secretEnds = []string{
	"_key", "_token", "_secret", "password", "passwd", "_pwd", "_credentials", "passphrase", "license",
	"webhook_url", "connection_string", "_dsn", "authorization", "auth_value", "cookie", "access_key_id", "_auth_header",
}

// secretNames are names that are secret as a whole.
var secretNames = []string{"key", "token", "secret", "credentials", "pwd", "dsn", "auth", "x-api-key", "api-key", "x-auth-token"}

// notSecret are names with such an end that hold no secret.
var notSecret = []string{
	"_per_token", "model_token", "primary_key", "partition_key", "_header_key", "cache_key",
}

// SecretName reports whether a key or variable of this name is expected to hold
// a secret.
func SecretName(name string) bool {
	word := strings.ReplaceAll(strings.ToLower(name), "-", "_")
	if v, ok := litellm.LookupEnv(name); ok && v.Secret {
		return true
	}
	for _, end := range notSecret {
		if strings.HasSuffix(word, end) {
			return false
		}
	}
	for _, end := range secretEnds {
		if strings.HasSuffix(word, end) {
			return true
		}
	}
	return slices.Contains(secretNames, word) || slices.Contains(secretNames, strings.ToLower(name))
}

// secretMaps are mappings whose values are all taken for secrets: what is in
// them is named by users.
var secretMaps = []string{
	"credential_values", "vertex_credentials", "headers", "extra_headers", "static_headers", "alert_to_webhook_url", "env",
	"environment_variables", "default_vertex_config", "litellm_jwtauth",
}

// publicKeys may show what a reference resolved to.
var publicKeys = []string{
	"host", "redis_host", "port", "redis_port", "db", "redis_db", "ssl", "namespace", "api_base", "base_url", "api_version", "model",
	"region_name", "aws_region_name", "vertex_project", "vertex_location", "organization", "timeout", "stream_timeout",
	"request_timeout", "rpm", "tpm", "type", "url", "path", "target", "database_url", "redis_url",
}

// Secretive reports whether the value of n must not be shown: its name or the
// name of its variable is one of a secret, it stands in a mapping of secrets, or
// it came from a variable and is not known to be harmless.
func (n *Node) Secretive() bool {
	if n == nil || n.Kind == Null || n.Kind == Bool {
		return false
	}
	if SecretName(n.Key) || n.Ref != "" && SecretName(n.Ref) {
		return true
	}
	for at := n; at != nil; at = at.parent {
		if at != n && (slices.Contains(secretMaps, at.Key) || SecretName(at.Key) && at.Kind != List) {
			return !(at.Key == "environment_variables" && !SecretName(n.Key) && n.Ref == "")
		}
	}
	if n.parent != nil && n.parent.Kind == List && SecretName(n.parent.Key) {
		return true
	}
	if n.Ref == "" && n.Origin.Kind != FromVariable {
		return false
	}
	if n.Kind == Int || n.Kind == Float {
		return false
	}
	if v, ok := litellm.LookupEnv(n.Origin.Name); ok && !v.Secret && v.Group != "provider" {
		return false
	}
	return !slices.Contains(publicKeys, n.Key)
}

// Display is the text of a scalar for people: masked if it is a secret, without
// passwords in URLs, nothing that looks like a credential.
func (n *Node) Display() string {
	text, ok := n.Scalar()
	if !ok {
		return ""
	}
	if n.Secretive() {
		// A URL keeps what is no secret of it.
		if scheme, _, ok := strings.Cut(text, "://"); ok && strings.HasSuffix(n.Key, "_url") && !strings.HasSuffix(n.Key, "webhook_url") &&
			strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz+") == "" {
			return redact.Text(text)
		}
		return redact.Mask
	}
	return redact.Text(text)
}
