package provider

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
)

// requestParams are the keys of litellm_params that are members of request
// bodies. What LiteLLM does not know at all is one, too: providers have
// parameters of their own.
var requestParams = []string{
	"temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "n", "presence_penalty", "frequency_penalty",
	"logit_bias", "logprobs", "top_logprobs", "response_format", "reasoning_effort", "thinking", "top_k", "dimensions", "service_tier",
	"user", "tools", "tool_choice", "parallel_tool_calls", "verbosity", "prediction", "modalities", "audio", "web_search_options",
}

// responsesParams are those of them that the Responses API has. The others it
// refuses.
var responsesParams = []string{
	"temperature", "top_p", "top_logprobs", "service_tier", "user", "tools", "tool_choice", "parallel_tool_calls",
}

// Defaultable reports whether default_litellm_params can say the key: what goes
// into requests, and whose they are. Where else a request goes is each entry's
// own.
func Defaultable(key string) bool {
	if slices.Contains([]string{"api_key", "organization", "extra_headers", "extra_body", "additional_drop_params"}, key) {
		return true
	}
	_, known := litellm.LookupKey(litellm.SectionLiteLLMParams, key)
	return key != "metadata" && (!known || slices.Contains(requestParams, key))
}

// ReadEntry reads litellm_params, and from credential what they do not have.
// What defaults have and requests can be given counts before both, as in
// LiteLLM. The error names the key that cannot be used.
func ReadEntry(params, credential, defaults *config.Node) (*Entry, error) {
	e := &Entry{}
	var items []*config.Node
	for _, n := range defaults.Items() {
		if !n.IsNull() && Defaultable(n.Key) {
			items = append(items, n)
		}
	}
	before := len(items)
	for _, n := range params.Items() {
		if !slices.ContainsFunc(items[:before], func(d *config.Node) bool { return d.Key == n.Key }) {
			items = append(items, n)
		}
	}
	for _, n := range credential.Items() {
		if params.Get(n.Key).IsNull() && !slices.ContainsFunc(items[:before], func(d *config.Node) bool { return d.Key == n.Key }) {
			items = append(items, n)
		}
	}
	for _, n := range items {
		if n.IsNull() {
			continue
		}
		var err error
		switch n.Key {
		case "model":
			e.Model, err = nodeText(n)
		case "custom_llm_provider":
			e.Provider, err = nodeText(n)
		case "api_base":
			e.APIBase, err = nodeText(n)
		case "base_url":
			if params.Get("api_base").IsNull() {
				e.APIBase, err = nodeText(n)
			}
		case "api_key":
			if !n.IsScalar() {
				err = fmt.Errorf("api_key must be text, not %s", n.Kind)
			}
			e.APIKey = n.Secret()
		case "organization":
			if n.Kind != config.List { // a list is an entry for each of it
				e.Organization, err = nodeText(n)
			}
		case "api_version":
			e.APIVersion, err = nodeText(n)
		case "azure_ad_token":
			if !n.IsScalar() {
				err = fmt.Errorf("azure_ad_token must be text, not %s", n.Kind)
			}
			e.ADToken = n.Secret()
		case "tenant_id":
			e.Login.Tenant, err = nodeText(n)
		case "client_id":
			e.Login.Client, err = nodeText(n)
		case "azure_scope":
			e.Login.Scope, err = nodeText(n)
		case "azure_username":
			e.Login.User, err = nodeText(n)
		case "client_secret", "azure_password":
			if !n.IsScalar() {
				err = fmt.Errorf("%s must be text, not %s", n.Key, n.Kind)
			}
			if n.Key == "client_secret" {
				e.Login.Secret = n.Secret()
			} else {
				e.Login.Password = n.Secret()
			}
		case "use_litellm_proxy":
			e.UseLiteLLMProxy, _ = n.Bool()
		case "extra_headers", "headers":
			err = e.readHeaders(n)
		case "additional_drop_params":
			err = e.readDrop(n)
		case "extra_body":
			for _, m := range n.Items() {
				if err = e.addNode(m.Key, m); err != nil {
					break
				}
			}
		default:
			if _, known := litellm.LookupKey(litellm.SectionLiteLLMParams, n.Key); known && !slices.Contains(requestParams, n.Key) {
				continue
			}
			err = e.addNode(n.Key, n)
		}
		if err != nil {
			return nil, err
		}
	}
	return e, nil
}

func nodeText(n *config.Node) (string, error) {
	s, ok := n.Scalar()
	if !ok {
		return "", fmt.Errorf("%s must be text, not %s", n.Key, n.Kind)
	}
	return strings.TrimSpace(s), nil
}

func (e *Entry) readHeaders(n *config.Node) error {
	if n.Kind != config.Map {
		return fmt.Errorf("%s must be a mapping of names to values", n.Key)
	}
	for _, h := range n.Items() {
		if h.IsNull() {
			continue
		}
		value, ok := h.Scalar()
		if !ok {
			return fmt.Errorf("%s.%s must be text, not %s", n.Key, h.Key, h.Kind)
		}
		if !validHeader(h.Key, value) {
			return fmt.Errorf("%s.%s is not a header that can be sent", n.Key, h.Key)
		}
		if e.ExtraHeaders == nil {
			e.ExtraHeaders = http.Header{}
		}
		e.ExtraHeaders.Set(h.Key, value)
	}
	return nil
}

func (e *Entry) readDrop(n *config.Node) error {
	if n.Kind != config.List {
		return fmt.Errorf("%s must be a list of names", n.Key)
	}
	for _, item := range n.Items() {
		name, ok := item.Scalar()
		if !ok {
			return fmt.Errorf("%s must be a list of names", n.Key)
		}
		if strings.ContainsAny(name, ".[") {
			return fmt.Errorf("%s: %q names a member within another, which is not supported: name a top-level member", n.Key, name)
		}
		e.Drop = append(e.Drop, name)
	}
	return nil
}

func (e *Entry) addNode(name string, n *config.Node) error {
	v, err := value(n)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return e.AddParam(name, v)
}

// value turns a node into what encoding/json writes as the same value.
func value(n *config.Node) (any, error) {
	if n.IsNull() {
		return nil, nil
	}
	switch n.Kind {
	case config.Bool:
		b, _ := n.Bool()
		return b, nil
	case config.Int:
		if i, ok := n.Int(); ok {
			return i, nil
		}
		fallthrough
	case config.Float:
		f, ok := n.Number()
		if !ok || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, fmt.Errorf("the number cannot be written as JSON")
		}
		return f, nil
	case config.List:
		list := make([]any, 0, n.Len())
		for _, item := range n.Items() {
			v, err := value(item)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case config.Map:
		m := make(map[string]any, n.Len())
		for _, item := range n.Items() {
			v, err := value(item)
			if err != nil {
				return nil, err
			}
			m[item.Key] = v
		}
		return m, nil
	}
	s, _ := n.Scalar()
	return s, nil
}

// validHeader reports whether HTTP can carry the header.
func validHeader(name, value string) bool {
	for _, c := range []byte(name) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return name != ""
}
