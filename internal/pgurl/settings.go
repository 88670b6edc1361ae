package pgurl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Lookup reads one key of general_settings as text. Maps are not asked for
// with it; ok is false when the key is absent, null, or of the wrong kind (a
// boolean where a number belongs).
type Lookup func(key string) (text string, ok bool)

// Settings translates general_settings and the environment into parameters:
// override wins over the URL, fill counts where the URL says nothing. extra is
// database_extra_connection_params, which wins over everything.
func Settings(general Lookup, extra map[string]string, env func(string) (string, bool)) (override, fill map[string]string) {
	override, fill = map[string]string{}, map[string]string{}
	number := func(key, parameter string) bool {
		v, ok := general(key)
		if !ok {
			return false
		}
		if f, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil || f < 0 {
			return false
		}
		override[parameter] = strings.TrimSpace(v)
		return true
	}
	number("database_connection_pool_limit", "connection_limit")
	if !number("database_connection_timeout", "pool_timeout") {
		number("database_connection_pool_timeout", "pool_timeout")
	}
	number("database_connect_timeout", "connect_timeout")
	number("database_socket_timeout", "socket_timeout")
	off, given := general("database_disable_prepared_statements")
	if !given && env != nil {
		off, given = env("DATABASE_DISABLE_PREPARED_STATEMENTS")
	}
	if given && truthy(off) {
		override["pgbouncer"] = "true"
	}
	idle, given := general("database_max_idle_connection_lifetime")
	if !given && env != nil {
		idle, given = env("DATABASE_MAX_IDLE_CONNECTION_LIFETIME")
	}
	if f, err := strconv.ParseFloat(strings.TrimSpace(idle), 64); given && err == nil && f >= 0 {
		fill["max_idle_connection_lifetime"] = strings.TrimSpace(idle)
	}
	for k, v := range extra {
		override[k] = v
	}
	return override, fill
}

// IgnoredWarning is the one sentence about parameters that were dropped, the
// same in every command; empty when there are none.
func (t *Target) IgnoredWarning() string {
	if len(t.Ignored) == 0 {
		return ""
	}
	noun := "parameter"
	if len(t.Ignored) > 1 {
		noun = "parameters"
	}
	return fmt.Sprintf("the database URL's %s %s mean nothing to llmgw and are left out", noun, strings.Join(slices.Clone(t.Ignored), ", "))
}
