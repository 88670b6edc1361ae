package litellm

// Behaviour is what differs between LiteLLM's releases and matters to us.
type Behaviour struct {
	Known                 bool // false: the release is not known, and the answers below are those of Compat
	RefusesTutorialKey    bool // does not start with sk-1234
	ComponentChart        bool // the componentised Helm chart
	PooledRedisURL        bool // redis_url shares its connections
	MetricsPort           bool // --prometheus_metrics_port
	DeployTimeout600      bool // migrations may take 600 s
	ExitsOnDatabaseFailed bool // stops when the database cannot be set up
	MinimalReadiness      bool // the public readiness answer is short
}

// since is the first release of each behaviour. Those without one are of a
// release nobody has pinned down: they count as absent in any release that is
// known by number but older than Compat, and as present in Compat.
func since(v Version, first string) bool {
	f, ok := ParseVersion(first)
	return ok && v.Compare(f) >= 0
}

// At tells what a release does. For a text that is no release it tells what
// Compat does, with Known false; a caller that must err on the safe side looks
// at Known.
func At(version string) Behaviour {
	v, known := ParseVersion(version)
	if !known {
		v, _ = ParseVersion(Compat)
	}
	return Behaviour{
		Known:                 known,
		RefusesTutorialKey:    since(v, Compat),
		ComponentChart:        since(v, "1.89.0"),
		PooledRedisURL:        since(v, "1.95.0"),
		MetricsPort:           since(v, "1.101.0"),
		DeployTimeout600:      since(v, "1.101.0"),
		ExitsOnDatabaseFailed: since(v, "1.103.3"),
		MinimalReadiness:      since(v, "1.84.0rc2"),
	}
}
