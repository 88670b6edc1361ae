package render

import "github.com/llmgw/llmgw/internal/finding"

func (p *plan) validate(objects []Object) []finding.Finding { return nil }
