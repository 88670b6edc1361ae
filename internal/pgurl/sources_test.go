package pgurl

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/llmgw/llmgw/internal/redact"
)

func TestSourcesPicksInOrder(t *testing.T) {
	all := map[string]string{
		"LLMGW_MIGRATE_DATABASE_URL": "postgresql://own/x", "DIRECT_URL": "postgresql://direct/x",
		"DATABASE_URL": "postgresql://env/x", "DATABASE_HOST": "parts", "DATABASE_USER": "u", "DATABASE_NAME": "x",
	}
	without := func(names ...string) map[string]string {
		m := map[string]string{}
		for k, v := range all {
			m[k] = v
		}
		for _, n := range names {
			delete(m, n)
		}
		return m
	}
	flag, config := redact.New("postgresql://flag/x"), redact.New("postgresql://config/x")
	tests := map[string]struct {
		in         Inputs
		env        map[string]string
		want       string
		passedOver []string
	}{
		"the flag beats all": {Inputs{Purpose: Migrate, Flag: flag, Config: config}, all, "--database-url",
			[]string{"LLMGW_MIGRATE_DATABASE_URL", "DIRECT_URL", "general_settings.database_url", "DATABASE_URL", "DATABASE_HOST"}},
		"migrate has a variable of its own": {Inputs{Purpose: Migrate, Config: config}, all, "LLMGW_MIGRATE_DATABASE_URL",
			[]string{"DIRECT_URL", "general_settings.database_url", "DATABASE_URL", "DATABASE_HOST"}},
		"then the direct URL": {Inputs{Purpose: Migrate, Config: config}, without("LLMGW_MIGRATE_DATABASE_URL"), "DIRECT_URL",
			[]string{"general_settings.database_url", "DATABASE_URL", "DATABASE_HOST"}},
		"serve does not look at migrate's variables": {Inputs{Purpose: Serve, Config: config, ConfigOrigin: "c.yaml:3:5"}, all,
			"general_settings.database_url (c.yaml:3:5)", []string{"DATABASE_URL", "DATABASE_HOST"}},
		"then DATABASE_URL": {Inputs{Purpose: Serve}, all, "DATABASE_URL", []string{"DATABASE_HOST"}},
		"then the parts":    {Inputs{Purpose: Serve}, without("DATABASE_URL"), "DATABASE_HOST", nil},
		"none is no error":  {Inputs{Purpose: Serve}, nil, "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.in.Env = func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok }
			s, err := Sources(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if s.Origin != tt.want || s.None() != (tt.want == "") {
				t.Errorf("origin %q, want %q", s.Origin, tt.want)
			}
			if diff := cmp.Diff(tt.passedOver, s.PassedOver); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheSameURLTwiceIsNotADifference(t *testing.T) {
	env := map[string]string{"DIRECT_URL": "postgresql://a/x", "DATABASE_URL": "postgresql://a/x"}
	s, err := Sources(Inputs{Purpose: Migrate, Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	if err != nil || len(s.PassedOver) != 0 {
		t.Errorf("passed over %v, %v", s.PassedOver, err)
	}
}

func TestPartsMakeAURL(t *testing.T) {
	tests := map[string]struct {
		env      map[string]string
		want     string
		password string
	}{
		"the least": {map[string]string{"DATABASE_HOST": "db", "DATABASE_USER": "u", "DATABASE_NAME": "n"}, "postgresql://u@db:5432/n", ""},
		"all, with the other name for the user": {map[string]string{"DATABASE_HOST": "db", "DATABASE_USERNAME": "u", "DATABASE_PASSWORD": "p /?#@:%&+ü",
			"DATABASE_NAME": "my db", "DATABASE_PORT": "6000", "DATABASE_SCHEMA": "s x"}, "postgresql://u:***@db:6000/my%20db?schema=s+x", "p /?#@:%&+ü"},
		"an IPv6 host":                {map[string]string{"DATABASE_HOST": "::1", "DATABASE_USER": "u", "DATABASE_NAME": "n", "DATABASE_PORT": "5433"}, "postgresql://u@[::1]:5433/n", ""},
		"a host that brings its port": {map[string]string{"DATABASE_HOST": "db:7000", "DATABASE_USER": "u", "DATABASE_NAME": "n", "DATABASE_PORT": "5433"}, "postgresql://u@db:7000/n", ""},
		"a socket folder":             {map[string]string{"DATABASE_HOST": "/run/pg", "DATABASE_USER": "u", "DATABASE_NAME": "n"}, "postgresql://u@/n?host=/run/pg", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Sources(Inputs{Purpose: Serve, Env: func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok }})
			if err != nil {
				t.Fatal(err)
			}
			target := parse(t, s.URL.Reveal(), Options{})
			if target.String() != tt.want || target.Config.Password != tt.password {
				t.Errorf("%s with password %q, want %s with %q", target, target.Config.Password, tt.want, tt.password)
			}
		})
	}
}

func TestSourcesRefusesRatherThanTakeAnotherDatabase(t *testing.T) {
	tests := map[string]struct {
		in   Inputs
		env  map[string]string
		want string
	}{
		"a reference that does not resolve": {Inputs{ConfigRef: "DB_URL"}, map[string]string{"DATABASE_URL": "postgresql://other/x"}, "DB_URL, which is not set"},
		"parts without a user":              {Inputs{}, map[string]string{"DATABASE_HOST": "db", "DATABASE_NAME": "n"}, "DATABASE_USER is not"},
		"parts without a database":          {Inputs{}, map[string]string{"DATABASE_HOST": "db", "DATABASE_USER": "n"}, "DATABASE_NAME is not"},
		"a service link as port": {Inputs{}, map[string]string{"DATABASE_HOST": "db", "DATABASE_USER": "u", "DATABASE_NAME": "n", "DATABASE_PORT": "tcp://10.1.1.1:5432"},
			"enableServiceLinks"},
		"a login token": {Inputs{Purpose: Migrate}, map[string]string{"IAM_TOKEN_DB_AUTH": "True", "DATABASE_URL": "postgresql://other/x"}, "not supported yet"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.in.Env = func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok }
			_, err := Sources(tt.in)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSettingsOverwriteWhatLiteLLMOverwrites(t *testing.T) {
	keys := map[string]string{
		"database_connection_pool_limit": "5", "database_connection_pool_timeout": "7", "database_connect_timeout": "8",
		"database_socket_timeout": "9", "database_disable_prepared_statements": "true", "database_max_idle_connection_lifetime": "44",
	}
	override, fill := Settings(func(k string) (string, bool) { v, ok := keys[k]; return v, ok }, map[string]string{"pool_timeout": "70"}, nil)
	if diff := cmp.Diff(map[string]string{"connection_limit": "5", "pool_timeout": "70", "connect_timeout": "8", "socket_timeout": "9", "pgbouncer": "true"}, override); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"max_idle_connection_lifetime": "44"}, fill); diff != "" {
		t.Error(diff)
	}
	env := map[string]string{"DATABASE_DISABLE_PREPARED_STATEMENTS": "1", "DATABASE_MAX_IDLE_CONNECTION_LIFETIME": "33"}
	override, fill = Settings(func(string) (string, bool) { return "", false }, nil, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	if override["pgbouncer"] != "true" || fill["max_idle_connection_lifetime"] != "33" {
		t.Errorf("from the environment: %v %v", override, fill)
	}
}

// Whatever stands in the parts comes out of the URL again.
func FuzzParts(f *testing.F) {
	f.Add("user", "p@ss:/?#%&+ ", "my db", "sch ema", "db.local")
	f.Add("ü", "%41", "a/b", "", "::1")
	f.Add("a:b", "", "x", "\"", "/run/pg")
	f.Fuzz(func(t *testing.T, user, password, name, schema, host string) {
		env := map[string]string{
			"DATABASE_HOST": host, "DATABASE_USER": user, "DATABASE_PASSWORD": password, "DATABASE_NAME": name, "DATABASE_SCHEMA": schema,
		}
		for k, v := range env {
			// What environments cannot hold, and what is trimmed.
			if strings.ContainsAny(v, "\x00\r\n\t") || strings.TrimSpace(v) != v {
				t.Skip(k)
			}
		}
		s, err := Sources(Inputs{Purpose: Serve, Env: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
		if err != nil || s.None() {
			return
		}
		target, err := Parse(s.URL, Options{})
		if err != nil {
			return // a host that is none
		}
		c := target.Config
		if c.User != user || c.Password != password || c.Database != name || schema != "" && target.Schema != schema {
			t.Errorf("user %q password %q database %q schema %q became %q %q %q %q", user, password, name, schema, c.User, c.Password, c.Database, target.Schema)
		}
	})
}
