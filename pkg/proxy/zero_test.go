package proxy

import (
	"slices"
	"testing"
)

func TestWithoutAConfigurationEachServiceIsOfferedOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		env  map[string]string
		want []string
	}{
		{"nothing in the environment", nil, nil},
		{"an empty key is no key", map[string]string{"OPENAI_API_KEY": ""}, nil},
		{"one key of three names for one service", map[string]string{"OPENAI_API_KEY": "sk-1"}, []string{"openai"}},
		{"two services", map[string]string{"OPENAI_API_KEY": "sk-1", "GROQ_API_KEY": "gsk-1"}, []string{"openai", "groq"}},
		{"one key for two addresses", map[string]string{"DASHSCOPE_API_KEY": "sk-1"}, []string{"dashscope", "qwencloud"}},
		{"a key without an address is not enough", map[string]string{"OPENAI_LIKE_API_KEY": "sk-1"}, nil},
		{"with its address it is", map[string]string{"OPENAI_LIKE_API_KEY": "sk-1", "OPENAI_LIKE_API_BASE": "http://10.0.0.1:8000/v1"}, []string{"openai_like"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config, found := ZeroConfig(func(name string) string { return c.env[name] }, "test")
			if !slices.Equal(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
			var groups []string
			for _, d := range config.Deployments {
				groups = append(groups, d.Group)
			}
			want := []string{ZeroChatModel, ZeroEmbeddingModel}
			for _, name := range c.want {
				want = append(want, name+"/*")
			}
			if !slices.Equal(groups, want) {
				t.Errorf("models %q, want %q", groups, want)
			}
		})
	}
}
