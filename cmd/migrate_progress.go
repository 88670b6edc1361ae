package cmd

import "github.com/llmgw/llmgw/pkg/migrate"

// progress shows events on standard error.
type progress struct{ a *app }

func newProgress(a *app, _ string) *progress { return &progress{a} }

func (p *progress) event(e migrate.Event) { showEvent(p.a, e) }
func (p *progress) end()                  {}
