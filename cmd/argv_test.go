package cmd

import (
	"slices"
	"strings"
	"testing"
)

func TestArgumentsWrittenForLiteLLMReachServe(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"nothing at all", "llmgw", ""},
		{"flags first", "llmgw --config x --port 4000 --num_workers 1 --run_gunicorn", "serve --config x --port 4000 --num_workers 1 --run_gunicorn"},
		{"called as litellm", "/usr/local/bin/litellm --config x", "serve --config x"},
		{"called as litellm with nothing", "litellm", "serve"},
		{"called as litellm for its version", "litellm --version", "serve --version"},
		{"help alone", "llmgw --help", "--help"},
		{"version alone", "llmgw -v", "-v"},
		{"help with other flags", "llmgw --help --config x", "serve --help --config x"},
		{"colour before a command", "llmgw --color never doctor x", "--color never doctor x"},
		{"colour before flags", "llmgw --color=never --config x", "serve --color=never --config x"},
		{"colour alone", "llmgw --no-color", "--no-color"},
		{"a command", "llmgw doctor --fix", "doctor --fix"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := strings.Fields(tt.in)
			before := slices.Clone(in)
			if got := strings.Join(rewriteArgs(in), " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if !slices.Equal(in, before) {
				t.Error("the caller's slice was changed")
			}
		})
	}
}
