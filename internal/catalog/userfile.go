package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// vendor is one entry of a file of further providers, in the shape in which
// LiteLLM registers vendors that speak OpenAI's format.
type vendor struct {
	BaseURL    string            `json:"base_url"`
	APIKeyEnv  string            `json:"api_key_env"`
	APIBaseEnv string            `json:"api_base_env"`
	BaseClass  string            `json:"base_class"`
	Rename     map[string]string `json:"param_mappings"`
	Special    map[string]any    `json:"special_handling"`
	Headers    map[string]string `json:"headers"`
}

var vendorName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`) })

// ReadProviders reads a file of further providers that speak OpenAI's format:
// a JSON object of vendors by prefix. What this build could not honour is an
// error, so that no option is silently without effect.
func ReadProviders(data []byte) ([]Provider, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var vendors map[string]vendor
	if err := dec.Decode(&vendors); err != nil {
		return nil, fmt.Errorf("reading providers: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading providers: text after the object")
	}
	var list []Provider
	for name, v := range vendors {
		p, err := v.provider(name)
		if err != nil {
			return nil, fmt.Errorf("reading providers: %q: %w", name, err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Provider) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (v vendor) provider(name string) (Provider, error) {
	p := Provider{Name: name, Family: OpenAI, Auth: Bearer, Priority: 2, Base: strings.TrimRight(v.BaseURL, "/")}
	if !vendorName().MatchString(name) {
		return p, errors.New("a name is made of small letters, digits, dots, _ and -")
	}
	if u, err := url.Parse(v.BaseURL); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return p, errors.New("base_url must be an http or https address without a password")
	}
	if v.APIBaseEnv != "" {
		p.BaseVars = []string{v.APIBaseEnv}
	}
	if v.APIKeyEnv != "" {
		p.KeyVars = []string{v.APIKeyEnv}
	} else {
		p.Keyless = true
	}
	switch v.BaseClass {
	case "", "openai_gpt", "openai_like":
	default:
		return p, fmt.Errorf("base_class %q is not one of openai_gpt, openai_like", v.BaseClass)
	}
	for from, to := range v.Rename {
		if from != "max_completion_tokens" || to != "max_tokens" {
			return p, fmt.Errorf("param_mappings: only max_completion_tokens to max_tokens can be renamed, not %q to %q", from, to)
		}
		p.MaxTokens = true
	}
	if len(v.Special) > 0 {
		return p, errors.New("special_handling is not supported")
	}
	for header, value := range v.Headers {
		if value != "{api_key}" || p.KeyHeader != "" {
			return p, errors.New(`headers: one header with the value "{api_key}" is supported`)
		}
		p.KeyHeader = header
	}
	return p, nil
}

// further are the providers of the user's own file, by name.
var further atomic.Pointer[map[string]Provider]

// UseProviders adds providers to the table; one of the same name as a built-in
// one takes its place. nil takes them back. It is meant for start-up.
func UseProviders(list []Provider) {
	if len(list) == 0 {
		further.Store(nil)
		return
	}
	m := make(map[string]Provider, len(list))
	for _, p := range list {
		m[p.Name] = p
	}
	further.Store(&m)
}
