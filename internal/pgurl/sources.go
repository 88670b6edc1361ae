package pgurl

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
)

// Inputs are the places a database URL may come from. Empty means not given.
type Inputs struct {
	Purpose Purpose
	// Flag is what --database-url (or its file) held, FlagName how to call it.
	Flag     redact.Secret
	FlagName string
	// Config is general_settings.database_url with its reference resolved.
	// ConfigOrigin says where it stands (config.yaml:12:17), ConfigRef names the
	// variable if it was a reference.
	Config       redact.Secret
	ConfigOrigin string
	ConfigRef    string
	// Env looks up environment variables.
	Env func(name string) (string, bool)
}

// Source is the URL that counts.
type Source struct {
	URL    redact.Secret
	Origin string // "DATABASE_URL", "--database-url", "general_settings.database_url (config.yaml:3:17)"
	// Passed over are other places that hold a different URL.
	PassedOver []string
}

// None reports whether no database is configured.
func (s Source) None() bool { return s.URL.IsZero() }

// Sources picks the URL: the flag, then for migrations the variables that are
// theirs alone, then the configuration, DATABASE_URL, and the DATABASE_HOST
// parts. A source that cannot be used is an error, never a reason to take the
// next one: a migration must not reach another database than the one meant.
func Sources(in Inputs) (Source, error) {
	env := func(name string) string {
		if in.Env == nil {
			return ""
		}
		v, _ := in.Env(name)
		return strings.TrimSpace(v)
	}
	type candidate struct {
		origin string
		url    redact.Secret
	}
	var list []candidate
	add := func(origin string, u redact.Secret) {
		if strings.TrimSpace(u.Reveal()) != "" {
			list = append(list, candidate{origin, u})
		}
	}
	flagName := in.FlagName
	if flagName == "" {
		flagName = "--database-url"
	}
	add(flagName, in.Flag)
	if in.Purpose == Migrate {
		for _, name := range []string{"LLMGW_MIGRATE_DATABASE_URL", "DIRECT_URL"} {
			add(name, redact.New(env(name)))
		}
	}
	// A login token would replace the password of everything below.
	login := ""
	for _, name := range []string{"IAM_TOKEN_DB_AUTH", "AZURE_POSTGRESQL_AUTH"} {
		if truthy(env(name)) {
			login = name
		}
	}
	if login != "" && len(list) == 0 {
		return Source{}, fmt.Errorf("%s asks for a login token instead of a password, which is not supported yet; give a URL with a password in %s", login, preferred(in.Purpose))
	}
	if in.ConfigRef != "" && in.Config.IsZero() && len(list) == 0 {
		return Source{}, fmt.Errorf("general_settings.database_url refers to the environment variable %s, which is not set", in.ConfigRef)
	}
	origin := "general_settings.database_url"
	if in.ConfigOrigin != "" {
		origin += " (" + in.ConfigOrigin + ")"
	}
	add(origin, in.Config)
	add("DATABASE_URL", redact.New(env("DATABASE_URL")))
	if len(list) == 0 || env("DATABASE_HOST") != "" {
		assembled, err := assemble(env)
		if err != nil && len(list) == 0 {
			return Source{}, err
		}
		if err == nil {
			add("DATABASE_HOST", assembled)
		}
	}
	if len(list) == 0 {
		return Source{}, nil
	}
	s := Source{URL: list[0].url, Origin: list[0].origin}
	for _, c := range list[1:] {
		if c.url != list[0].url {
			s.PassedOver = append(s.PassedOver, c.origin)
		}
	}
	return s, nil
}

func preferred(p Purpose) string {
	if p == Migrate {
		return "--database-url or LLMGW_MIGRATE_DATABASE_URL"
	}
	return "--database-url"
}

func truthy(word string) bool {
	switch strings.ToLower(word) {
	case "1", "true", "yes", "on", "y", "t":
		return true
	}
	return false
}

// assemble builds a URL from the parts that LiteLLM's charts set. Nothing set
// is no error and no URL.
func assemble(env func(string) string) (redact.Secret, error) {
	host := env("DATABASE_HOST")
	if host == "" {
		return redact.Secret{}, nil
	}
	user := env("DATABASE_USER")
	if user == "" {
		user = env("DATABASE_USERNAME")
	}
	name := env("DATABASE_NAME")
	for _, need := range []struct{ name, value string }{{"DATABASE_USER", user}, {"DATABASE_NAME", name}} {
		if need.value == "" {
			return redact.Secret{}, fmt.Errorf("DATABASE_HOST is set but %s is not; set DATABASE_HOST, DATABASE_USER, DATABASE_PASSWORD and DATABASE_NAME, or DATABASE_URL", need.name)
		}
	}
	port := env("DATABASE_PORT")
	if strings.HasPrefix(port, "tcp://") {
		return redact.Secret{}, fmt.Errorf("DATABASE_PORT is %s, which Kubernetes sets for a service named database; set enableServiceLinks: false or DATABASE_PORT", port)
	}
	if port != "" {
		if _, err := parsePort(port); err != nil {
			return redact.Secret{}, fmt.Errorf("DATABASE_PORT is not a number from 1 to 65535")
		}
	}
	if !strings.HasPrefix(host, "/") && strings.ContainsAny(host, "/?#@%\\ \t\"<>^`{|}") {
		// Any of these would move the rest of the URL to another part of it.
		return redact.Secret{}, errors.New("DATABASE_HOST is no host name: give the name or address alone, the port in DATABASE_PORT")
	}
	u := url.URL{Scheme: "postgresql", Path: "/" + name}
	u.User = url.User(user)
	if password := env("DATABASE_PASSWORD"); password != "" {
		u.User = url.UserPassword(user, password)
	}
	q := url.Values{}
	switch {
	case strings.HasPrefix(host, "/"): // a socket's folder
		q.Set("host", host)
		if port != "" {
			q.Set("port", port)
		}
	case strings.Contains(host, ":") && !strings.HasPrefix(host, "[") && strings.Count(host, ":") > 1:
		u.Host = "[" + host + "]"
	default:
		u.Host = host
	}
	if port != "" && u.Host != "" {
		if _, _, has := cutPort(u.Host); !has {
			u.Host += ":" + port
		}
	}
	if v := env("DATABASE_SCHEMA"); v != "" {
		q.Set("schema", v)
	}
	mode, root := env("DATABASE_SSLMODE"), env("DATABASE_SSLROOTCERT")
	if mode == "" && root != "" {
		mode = "verify-full"
	}
	if mode != "" {
		q.Set("sslmode", mode)
	}
	if root != "" {
		q.Set("sslrootcert", root)
	}
	u.RawQuery = q.Encode()
	// url.URL would refuse or re-encode some hosts; ours are written as given.
	text := "postgresql://" + u.User.String() + "@" + u.Host + u.EscapedPath()
	if u.RawQuery != "" {
		text += "?" + u.RawQuery
	}
	return redact.New(text), nil
}
