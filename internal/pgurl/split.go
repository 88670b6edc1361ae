package pgurl

import (
	"fmt"
	"strconv"
	"strings"
)

// parts is a URL cut into pieces and percent-decoded.
type parts struct {
	user, password, database string
	hosts                    string // as written between @ and /, decoded later
	params                   map[string]string
}

// split cuts a URL as Prisma does rather than as net/url does: a stray percent
// sign stands for itself, several hosts are allowed, and the password may hold
// an @ (the last one before the path ends it) or a colon. What cannot be cut
// without guessing is an error that says which character to encode and never
// shows the text.
func split(text string) (*parts, error) {
	if text == "" {
		return nil, fmt.Errorf("the database URL is empty")
	}
	if c := text[0]; c == '"' || c == '\'' || c == '`' {
		return nil, fmt.Errorf("the database URL begins with a quotation mark; remove the quotes (docker --env-file and Kubernetes keep them)")
	}
	if strings.ContainsAny(text, "\r\n\t\x00") {
		return nil, fmt.Errorf("the database URL holds a line break, tab or NUL character")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		if strings.HasPrefix(text, "host=") || strings.Contains(text, " host=") {
			return nil, fmt.Errorf("the database URL is in keyword form (host=…); write it as postgresql://user:password@host:5432/database")
		}
		return nil, fmt.Errorf("the database URL has no scheme; it should begin with postgresql://")
	}
	switch strings.ToLower(scheme) {
	case "postgres", "postgresql":
	case "prisma", "prisma+postgres":
		return nil, fmt.Errorf("a %s:// URL leads to Prisma's hosted service, not to a database; use the database's own postgresql:// URL", strings.ToLower(scheme))
	case "jdbc:postgresql":
		return nil, fmt.Errorf("the database URL is for Java; drop the jdbc: in front")
	case "mysql", "mariadb", "sqlite", "file", "mongodb", "mongodb+srv", "sqlserver", "cockroachdb", "redis", "rediss", "http", "https":
		return nil, fmt.Errorf("unsupported scheme '%s': virtual keys, models in the database and spend tracking need PostgreSQL; use a postgresql:// URL", strings.ToLower(scheme))
	default:
		// It may be anything, a password included.
		return nil, fmt.Errorf("the database URL has an unsupported scheme; use a postgresql:// URL")
	}

	end := strings.IndexAny(rest, "/?#")
	authority, after := rest, ""
	if end >= 0 {
		authority, after = rest[:end], rest[end:]
	}
	path, query := after, ""
	if i := strings.IndexByte(path, '#'); i >= 0 {
		if strings.Contains(path[i:], "@") {
			return nil, errUnencoded
		}
		path = path[:i]
	}
	if i := strings.IndexByte(path, '?'); i >= 0 {
		path, query = path[:i], path[i+1:]
	}
	// An @ behind the authority means that the password ended it early.
	if strings.Contains(path, "@") {
		return nil, errUnencoded
	}
	p := &parts{params: map[string]string{}, hosts: authority}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, _ := strings.Cut(authority[:i], ":")
		p.user, p.password, p.hosts = unescape(user, false), unescape(password, false), authority[i+1:]
	}
	p.database = unescape(strings.TrimPrefix(path, "/"), false)
	if strings.Contains(p.database, "\x00") || strings.Contains(p.user, "\x00") || strings.Contains(p.password, "\x00") {
		return nil, fmt.Errorf("the database URL holds an encoded NUL character")
	}
	for _, pair := range strings.Split(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if strings.Contains(name, "@") {
			return nil, errUnencoded
		}
		name, value = unescape(name, true), unescape(value, true)
		if strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("the database URL holds an encoded NUL character")
		}
		p.params[name] = value
	}
	return p, nil
}

var errUnencoded = fmt.Errorf("the database URL's user or password holds a character that ends it early; write / as %%2F, ? as %%3F, # as %%23, @ as %%40")

// unescape decodes percent signs that are followed by two hexadecimal digits
// and leaves others alone; form also turns plus signs into spaces.
func unescape(s string, form bool) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '%' && i+2 < len(s):
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b = append(b, byte(v))
				i += 2
				continue
			}
			b = append(b, s[i])
		case s[i] == '+' && form:
			b = append(b, ' ')
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

type address struct {
	host string
	port uint16
}

func (p *parts) hostPorts() ([]address, error) {
	var list []address
	written := p.hosts
	// ?host= wins over the address, as in Prisma; a path is a socket's folder.
	if h, ok := p.params["host"]; ok && h != "" {
		port := ""
		if _, pt, ok := cutPort(p.hosts); ok {
			port = pt
		}
		for _, one := range strings.Split(h, ",") {
			a, err := parseAddress(one, port)
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
	} else {
		for _, one := range strings.Split(written, ",") {
			a, err := parseAddress(one, "")
			if err != nil {
				return nil, err
			}
			list = append(list, a)
		}
	}
	delete(p.params, "host")
	if v, ok := p.params["port"]; ok {
		delete(p.params, "port")
		port, err := parsePort(v)
		if err != nil {
			return nil, err
		}
		for i := range list {
			list[i].port = port
		}
	}
	return list, nil
}

// cutPort splits host:port; an IPv6 address must stand in brackets to have one.
func cutPort(s string) (host, port string, ok bool) {
	if strings.HasPrefix(s, "[") {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return s, "", false
		}
		return s[:i+1], strings.TrimPrefix(s[i+1:], ":"), strings.HasPrefix(s[i+1:], ":")
	}
	if strings.Count(s, ":") > 1 {
		return s, "", false
	}
	return strings.Cut(s, ":")
}

func parseAddress(text, defaultPort string) (address, error) {
	a := address{host: "localhost", port: 5432}
	host, port, _ := cutPort(text)
	host = unescape(host, false)
	if strings.HasPrefix(host, "[") {
		if !strings.HasSuffix(host, "]") {
			return a, fmt.Errorf("the database URL's IPv6 address lacks its closing bracket")
		}
		host = host[1 : len(host)-1]
	}
	if host != "" {
		a.host = host
	}
	if strings.ContainsAny(a.host, " \x00\r\n\t") {
		return a, fmt.Errorf("the database URL's host holds a space or a control character")
	}
	if port == "" {
		port = defaultPort
	}
	if port != "" {
		n, err := parsePort(port)
		if err != nil {
			return a, err
		}
		a.port = n
	}
	return a, nil
}

// parsePort never quotes what it was given: in a mangled URL that is the
// password.
func parsePort(text string) (uint16, error) {
	if strings.HasPrefix(text, "tcp://") {
		return 0, fmt.Errorf("the database port is a Kubernetes service link (tcp://…); set enableServiceLinks: false or name the port")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("the database URL's port is not a number from 1 to 65535 (a password with / ? # @ must be percent-encoded)")
	}
	return uint16(n), nil
}
