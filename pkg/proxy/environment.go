package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/llmgw/llmgw/internal/litellm"
)

// ApplyEnvironment sets what only variables say: the way to upstreams, and the
// limit of streams. What cannot be read is returned as sentences.
func ApplyEnvironment(c *Config, getenv func(string) string) (remarks []string) {
	c.Upstream.Proxy = outboundProxy(getenv)
	if c.Upstream.TLS == nil { // there was no configuration to read it with
		t := trust(getenv("SSL_VERIFY"), getenv("SSL_CERTIFICATE"), getenv)
		var err error
		if c.Upstream.TLS, err = t.Config(); err != nil {
			remarks = append(remarks, "certificates of upstreams are checked by the system's authorities: "+err.Error())
		}
		if t.Insecure {
			remarks = append(remarks, "SSL_VERIFY is off: certificates of upstreams are not checked")
		}
	}
	number := func(name string) float64 {
		text := strings.TrimSpace(getenv(name))
		if text == "" {
			return 0
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || !(f >= 0 && f <= maxSeconds) {
			remarks = append(remarks, name+" is not a usable number; it is left out")
			return 0
		}
		return f
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name) * float64(time.Second)) }
	c.Router.InitialDelay, c.Router.MaxDelay = seconds("INITIAL_RETRY_DELAY"), seconds("MAX_RETRY_DELAY")
	if getenv("JITTER") != "" {
		jitter := number("JITTER")
		c.Router.Jitter = &jitter
	}
	c.Breaker = breaker(getenv)
	if c.Redis != nil {
		c.Redis.Interval = seconds("DEFAULT_COOLDOWN_REDIS_READ_INTERVAL_SECONDS")
	}
	c.Router.FailureShare = number("DEFAULT_FAILURE_THRESHOLD_PERCENT")
	c.Router.FailureMinimum = int(number("DEFAULT_FAILURE_THRESHOLD_MINIMUM_REQUESTS"))
	c.Router.SingleFailureVolume = int(number("SINGLE_DEPLOYMENT_TRAFFIC_FAILURE_THRESHOLD"))
	c.Upstream.IdleTimeout = seconds("AIOHTTP_KEEPALIVE_TIMEOUT")
	c.Upstream.MaxIdle = int(number("AIOHTTP_CONNECTOR_LIMIT"))
	c.Upstream.MaxIdlePerHost = int(number("AIOHTTP_CONNECTOR_LIMIT_PER_HOST"))
	c.Upstream.KeepIdle, c.Upstream.KeepInterval = seconds("AIOHTTP_TCP_KEEPIDLE"), seconds("AIOHTTP_TCP_KEEPINTVL")
	c.Upstream.KeepCount = int(number("AIOHTTP_TCP_KEEPCNT"))
	c.API.MaxStreamDuration = seconds("LITELLM_MAX_STREAMING_DURATION_SECONDS")
	c.API.CORS.Origins, c.API.CORS.Credentials = corsOrigins(getenv)
	on := func(name string) bool {
		word := getenv(name)
		if word == "" {
			return false
		}
		yes, _, _ := litellm.ParseEnvBool(name, word)
		return yes
	}
	// Without a description there is no page of it either.
	c.API.NoDocs, c.API.NoRedoc = on("NO_DOCS") || on("NO_OPENAPI"), on("NO_REDOC")
	if kb := number("MAX_SIZE_PER_ITEM_IN_MEMORY_CACHE_IN_KB"); c.Cache != nil && kb > 0 {
		c.Cache.MaxItem = int64(kb * 1024)
	}
	d := &c.API.Docs
	for name, into := range map[string]*string{"DOCS_URL": &d.Docs, "REDOC_URL": &d.Redoc, "OPENAPI_URL": &d.OpenAPI} {
		if path := getenv(name); strings.HasPrefix(path, "/") {
			*into = path
		} else if path != "" {
			remarks = append(remarks, name+" is no path such as /docs; it is left out")
		}
	}
	d.Title, d.Description = getenv("DOCS_TITLE"), getenv("DOCS_DESCRIPTION")
	if c.API.Repeats = int(number("REPEATED_STREAMING_CHUNK_LIMIT")); c.API.Repeats == 0 {
		c.API.Repeats = 100 // LiteLLM's
	}
	c.API.SpeechPiece = int(number("AUDIO_SPEECH_CHUNK_SIZE"))
	c.API.DetailedTiming = on("LITELLM_DETAILED_TIMING")
	if getenv("DOCS_URL") != "" {
		c.API.RootRedirect = getenv("ROOT_REDIRECT_URL")
	}
	return remarks
}

// corsOrigins reads which pages may call from a browser. Credentials are on
// where it is written, and where the origins are named one by one.
func corsOrigins(getenv func(string) string) (origins []string, credentials bool) {
	for o := range strings.SplitSeq(getenv("LITELLM_CORS_ORIGINS"), ",") {
		if o = strings.TrimSpace(o); o != "" {
			origins = append(origins, o)
		}
	}
	if word := getenv("LITELLM_CORS_ALLOW_CREDENTIALS"); word != "" {
		on, _, ok := litellm.ParseEnvBool("LITELLM_CORS_ALLOW_CREDENTIALS", word)
		return origins, ok && on
	}
	return origins, len(origins) > 0 && !slices.Contains(origins, "*")
}

// outboundProxy reads HTTP_PROXY, HTTPS_PROXY and NO_PROXY; nil when there is
// none, so that requests do not ask.
func outboundProxy(getenv func(string) string) func(*http.Request) (*url.URL, error) {
	either := func(name string) string {
		if v := getenv(name); v != "" {
			return v
		}
		return getenv(strings.ToLower(name))
	}
	p := httpproxy.Config{HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY")}
	if p.HTTPProxy == "" && p.HTTPSProxy == "" {
		return nil
	}
	choose := p.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
}

// StatePath is where a gateway without a configuration keeps its state.
func StatePath(getenv func(string) string) (string, error) {
	dir := getenv("XDG_STATE_HOME")
	if dir == "" || !filepath.IsAbs(dir) {
		home := getenv("HOME")
		if home == "" {
			home = getenv("USERPROFILE")
		}
		if home == "" {
			return "", errors.New("there is no home directory to keep state in; give --store sqlite:PATH or --store none")
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "llmgw", "llmgw.db"), nil
}
