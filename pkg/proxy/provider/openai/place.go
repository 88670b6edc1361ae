package openai

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// maxPlaces bounds how many models a lane remembers the addresses of: clients
// choose the names. What is not remembered is worked out for each request.
const maxPlaces = 1024

// places are the addresses of a lane's models.
type places struct {
	known sync.Map // model -> *call.Target
	n     atomic.Int64
}

// TargetFor implements wire.Addressed.
func (l *lane) TargetFor(model string) (*call.Target, error) {
	if !l.options.PerModel {
		return &l.target, nil
	}
	if t, ok := l.places.known.Load(model); ok {
		return t.(*call.Target), nil
	}
	if model == "" || model == "." || model == ".." {
		return nil, errors.New("that is no name of a model")
	}
	u, err := l.options.URL(l.op, model)
	if err != nil {
		return nil, err
	}
	t := &call.Target{URL: u, Header: l.target.Header, StreamHeader: l.target.StreamHeader, TLS: l.target.TLS, Token: l.target.Token}
	if l.places.n.Load() < maxPlaces {
		if before, loaded := l.places.known.LoadOrStore(model, t); loaded {
			return before.(*call.Target), nil
		}
		l.places.n.Add(1)
	}
	return t, nil
}
