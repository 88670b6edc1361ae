package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// SettingsFile is searched from the working directory up to the repository's
// root.
const SettingsFile = ".llmgw-doctor.yaml"

// settings are what a team decided for its repository. Flags beat them.
type settings struct {
	path        string
	flags       rule.Flags
	severity    map[string]string // rule -> error, warning, info, off
	maxAttempts int
	paths       []pathProfile
	ignores     []*suppression
	failOn      string
	noInline    bool
}

type pathProfile struct {
	match   string
	profile rule.Profile
}

// apply fills flags that the command line left open.
func (s *settings) apply(f *rule.Flags) {
	g := s.flags
	if f.Profile == "" {
		f.Profile = g.Profile
	}
	if f.Target == "" {
		f.Target = g.Target
	}
	if f.Version == "" {
		f.Version = g.Version
	}
	if !f.MaxConnections.IsSet() && !f.MaxDBConnections.IsSet() {
		f.MaxConnections, f.MaxDBConnections = g.MaxConnections, g.MaxDBConnections
	}
	f.DBReserve = f.DBReserve.Or(g.DBReserve)
	f.SuperuserReserved = f.SuperuserReserved.Or(g.SuperuserReserved)
	f.Reserved = f.Reserved.Or(g.Reserved)
	f.OtherConnections = f.OtherConnections.Or(g.OtherConnections)
	f.Instances = f.Instances.Or(g.Instances)
	f.ExpectedRPS = f.ExpectedRPS.Or(g.ExpectedRPS)
	f.ClientTimeout = f.ClientTimeout.Or(g.ClientTimeout)
	f.LBIdle = f.LBIdle.Or(g.LBIdle)
	if f.MaxAttempts == 0 {
		f.MaxAttempts = s.maxAttempts
	}
}

func (s *settings) named(id string) bool { return s.severity[id] != "" }

func (s *settings) off(id string) bool { return s.severity[id] == "off" }

// judge sets a hit's severity by profile and settings; a hit without an id is
// not to be reported.
func (s *settings) judge(h *rule.Hit, profile rule.Profile) {
	known, ok := rule.Lookup(h.ID)
	if !ok {
		return
	}
	for _, p := range s.paths {
		if matchPath(p.match, h.Pos.File) {
			profile = p.profile
		}
	}
	switch {
	case slices.Contains(known.Off, profile),
		len(known.OnlyIn) > 0 && !slices.Contains(known.OnlyIn, profile):
		h.ID = ""
		return
	case slices.Contains(known.Soft, profile):
		h.Severity = finding.Info
	}
	if word := s.severity[known.ID]; word != "" && word != "off" {
		h.Severity, _ = finding.ParseSeverity(word)
	}
}

// settings reads the settings file, if there is one.
func (r *reader) settings() (*settings, error) {
	s := &settings{severity: map[string]string{}}
	if r.o.NoSettings {
		return s, nil
	}
	path, name := r.findSettings()
	if path == "" {
		return s, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %s", name, cause(err))
	}
	root, _, err := config.ParseYAML(name, data)
	if err != nil {
		return nil, err
	}
	s.path = name
	return s, s.read(root)
}

func (r *reader) findSettings() (path, name string) {
	dir, err := filepath.Abs(r.onDisk("."))
	if err != nil {
		return "", ""
	}
	name = SettingsFile
	for {
		candidate := filepath.Join(dir, SettingsFile)
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() {
			return candidate, name
		}
		if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
			return "", ""
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", ""
		}
		dir, name = up, "../"+name
	}
}

type settingsError struct {
	pos     finding.Position
	message string
}

func (e *settingsError) Error() string { return e.pos.String() + ": " + e.message }

func badSetting(n *config.Node, format string, args ...any) error {
	return &settingsError{n.Where(), fmt.Sprintf(format, args...)}
}

func (s *settings) read(root *config.Node) error {
	if root.IsNull() {
		return nil
	}
	if root.Kind != config.Map {
		return badSetting(root, "the settings are %s, not a mapping", root.Kind)
	}
	for _, n := range root.Items() {
		text, _ := n.Scalar()
		switch n.Key {
		case "version":
			if text != "1" {
				return badSetting(n, "version %s is not known; this doctor reads version 1", text)
			}
		case "profile":
			p, err := rule.ParseProfile(text)
			if err != nil || text == "" {
				return badSetting(n, "profile %q is not one of production, dev, vpc", text)
			}
			s.flags.Profile = p
		case "target":
			t, ok := facts.ParseTarget(text)
			if !ok {
				return badSetting(n, "target %q is not litellm or llmgw", text)
			}
			s.flags.Target = t
		case "assume":
			if err := s.readAssume(n); err != nil {
				return err
			}
		case "rules":
			if err := s.readRules(n); err != nil {
				return err
			}
		case "paths":
			for _, p := range n.Items() {
				match, _ := p.Get("match").Scalar()
				word, _ := p.Get("profile").Scalar()
				profile, err := rule.ParseProfile(word)
				if match == "" || word == "" || err != nil {
					return badSetting(p, "an entry of paths needs match and profile (production, dev or vpc)")
				}
				s.paths = append(s.paths, pathProfile{match, profile})
			}
		case "ignore":
			if err := s.readIgnores(n); err != nil {
				return err
			}
		case "fail_on":
			if text != "never" {
				if _, err := finding.ParseSeverity(text); err != nil {
					return badSetting(n, "fail_on %q is not one of error, warning, info, never", text)
				}
			}
			s.failOn = text
		case "inline_ignores":
			on, ok := n.Bool()
			if !ok {
				return badSetting(n, "inline_ignores must be true or false")
			}
			s.noInline = !on
		default:
			known := []string{"version", "profile", "target", "assume", "rules", "paths", "ignore", "fail_on", "inline_ignores"}
			return badSetting(n, "%s is not a setting of doctor; known are %s", n.Key, strings.Join(known, ", "))
		}
	}
	return nil
}

func (s *settings) readAssume(assume *config.Node) error {
	for _, n := range assume.Items() {
		origin := n.Key + ", " + s.path
		if n.Key == "litellm_version" {
			s.flags.Version, _ = n.Scalar()
			continue
		}
		v, ok := n.Number()
		if !ok || v < 0 || v > 1<<31 {
			return badSetting(n, "assume.%s must be a number of 0 or more", n.Key)
		}
		whole := facts.NewInt(int(v), origin, n.Where())
		switch n.Key {
		case "max_connections":
			s.flags.MaxConnections = whole
		case "max_db_connections":
			s.flags.MaxDBConnections = whole
		case "db_reserve":
			s.flags.DBReserve = whole
		case "superuser_reserved":
			s.flags.SuperuserReserved = whole
		case "reserved":
			s.flags.Reserved = whole
		case "other_connections":
			s.flags.OtherConnections = whole
		case "instances":
			s.flags.Instances = whole
		case "expected_rps":
			s.flags.ExpectedRPS = whole
		case "client_timeout":
			s.flags.ClientTimeout = facts.NewSeconds(v, origin, n.Where())
		case "lb_idle":
			s.flags.LBIdle = facts.NewSeconds(v, origin, n.Where())
		default:
			return badSetting(n, "assume.%s is not a fact that doctor knows", n.Key)
		}
	}
	if s.flags.MaxConnections.IsSet() && s.flags.MaxDBConnections.IsSet() {
		return badSetting(assume, "assume has max_connections (Postgres' setting) and max_db_connections (what the gateway may open); give one")
	}
	return nil
}

func (s *settings) readRules(rules *config.Node) error {
	for _, n := range rules.Items() {
		known, ok := rule.Lookup(n.Key)
		if !ok {
			if near := rule.Nearest(n.Key); near != "" {
				return badSetting(n, "there is no rule %s; did you mean %s?", n.Key, near)
			}
			return badSetting(n, "there is no rule %s", n.Key)
		}
		word, isText := n.Scalar()
		if n.Kind == config.Map {
			word, _ = n.Get("severity").Scalar()
			isText = true
			for _, opt := range n.Items() {
				switch opt.Key {
				case "severity":
				case "max_attempts":
					v, ok := opt.Int()
					if !ok || v < 1 || known.ID != "RTE010" {
						return badSetting(opt, "max_attempts is a whole number of RTE010")
					}
					s.maxAttempts = int(v)
				default:
					return badSetting(opt, "%s is not an option of %s", opt.Key, known.ID)
				}
			}
			if word == "" {
				continue
			}
		}
		if n.Kind == config.Bool && word != "true" {
			word = "off" // YAML 1.1 reads off as false
		}
		if word != "off" {
			if _, err := finding.ParseSeverity(word); err != nil || !isText {
				return badSetting(n, "%s: %q is not one of error, warning, info, off", known.ID, word)
			}
		}
		s.severity[known.ID] = word
	}
	return nil
}

func (s *settings) readIgnores(list *config.Node) error {
	for _, n := range list.Items() {
		entry := &suppression{from: "config file", pos: n.Pos, used: map[string]bool{}}
		for _, c := range n.Items() {
			text, _ := c.Scalar()
			switch c.Key {
			case "rule":
				known, ok := rule.Lookup(text)
				if !ok {
					return badSetting(c, "there is no rule %s", text)
				}
				entry.ids = []string{known.ID}
			case "file":
				entry.glob = text
			case "line":
				v, _ := c.Int()
				entry.lineFrom = int(v)
			case "reason":
				entry.reason = text
			case "until":
				d, err := time.Parse(time.DateOnly, text)
				if err != nil {
					return badSetting(c, "until %q is not a date such as 2027-03-01", text)
				}
				entry.until = d
			default:
				return badSetting(c, "%s is not part of an ignore entry (rule, file, line, reason, until)", c.Key)
			}
		}
		if len(entry.ids) == 0 || entry.reason == "" {
			return badSetting(n, "an ignore entry needs a rule and a reason")
		}
		if entry.glob == "" {
			entry.glob = "**"
		}
		s.ignores = append(s.ignores, entry)
	}
	return nil
}

// suppressions are the ones in force for a run.
func (r *reader) suppressions(s *settings, o Options) []*suppression {
	if o.NoInlineIgnores || s.noInline {
		return s.ignores
	}
	return append(slices.Clone(r.comments), s.ignores...)
}
