package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// waitEvery is how often Wait looks.
const waitEvery = 2 * time.Second

// Wait looks at the database until every migration up to and with head is
// applied, or ctx ends; an empty head is the set's. It needs no right but to
// read the history, takes no lock and writes nothing. A database that is ahead
// is fine.
func (p *Provider) Wait(ctx context.Context, head string) (*StatusResult, error) {
	told := ""
	var known *StatusResult // what the last look that was answered found
	var last *Error
	for {
		r, err := p.Status(ctx)
		if err == nil {
			known = r
			if head != "" {
				if !p.set.Has(head) {
					return r, &Error{kind: kindUsage, Message: fmt.Sprintf("--min-head %s: no such migration in %s", head, p.set.From)}
				}
				err = orNil(r.ErrBelow(head, false))
			} else {
				err = orNil(r.Err(false))
			}
			if err == nil {
				return r, nil
			}
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Usage() || e.Unreachable() && e.Code != "P1001" && e.Code != "P1003" && e.Code != "P1017" && e.Code != "P2037" {
			return r, err // waiting will not change that
		}
		if e.Cancelled() {
			return known, p.waited(ctx, last)
		}
		last = e
		if e.Message != told {
			told = e.Message
			p.emit(Event{Event: EventWaiting, Code: e.Code, Message: e.Message})
		}
		if !sleep(ctx, waitEvery) {
			return known, p.waited(ctx, last)
		}
	}
}

// waited is the answer when the time is over: what was waited for, if that is
// known, else that it was cancelled.
func (p *Provider) waited(ctx context.Context, last *Error) error {
	e := p.cancelled(ctx, "while waiting for the migrations", nil)
	if !errors.Is(context.Cause(ctx), context.DeadlineExceeded) && e.Cause != "--timeout" {
		return e
	}
	switch {
	case last == nil:
		return &Error{Code: "P1001", kind: kindUnreachable, Message: fmt.Sprintf("the time is over and the database server at `%s` did not answer", p.target.HostPort())}
	case last.Unreachable():
		return last
	}
	last.Message = "the time is over: " + last.Message
	return last
}

func orNil(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}
