package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// UnreachableError says that the target does not answer as it must, so nothing
// was measured.
type UnreachableError struct{ Reason string }

func (e *UnreachableError) Error() string { return e.Reason }

// preflight is what the first requests showed.
type preflight struct {
	Model string
	Echo  bool
}

// preflight sends one request of each scenario and looks at the answer in full:
// gateways have been found fast that answered nothing but errors.
func (r *run) preflight(ctx context.Context) (preflight, error) {
	p := r.plan
	if need := uint64(p.Concurrency); !p.Open() {
		if limit := openFiles(); limit > 0 && need+64 > limit {
			return preflight{}, fmt.Errorf("--concurrency %d needs more open files than the limit of %d; raise it with ulimit -n", p.Concurrency, limit)
		}
	}
	// A timeout of its own: a target that hangs must not hold the run for the
	// ten minutes a real request may take.
	patience := min(p.RequestTimeout, time.Minute)
	real := p.RequestTimeout
	p.RequestTimeout = patience
	defer func() { p.RequestTimeout = real }()

	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, r.closeAll)
	defer stop()
	r.base = time.Now()
	r.to.Store(-1)
	r.validateAll, r.keep = true, 16<<10
	defer func() { r.validateAll, r.keep = false, keepBody }()
	c := &client{r: r}
	defer c.drop()

	out := preflight{Model: p.Model}
	needsModel := false
	for _, s := range p.Scenarios {
		needsModel = needsModel || s.Scenario.body() && len(p.Payload.Prompts) == 0
	}
	if out.Model == "" && needsModel {
		model, err := r.findModel(c)
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if err != nil {
			return out, err
		}
		out.Model = model
	}
	if err := r.prepareAll(out.Model); err != nil {
		return out, err
	}
	out.Echo = true
	for i, s := range p.Scenarios {
		q := r.requests[i][0]
		n := r.next.Add(1) - 1
		r.sent.Add(1)
		res := c.do(q, n, time.Since(r.base))
		if ctx.Err() != nil {
			return out, context.Cause(ctx)
		}
		if res.Err != OK {
			return out, r.unreachable(s.Scenario, &res)
		}
		if q.stream && !res.Reported && res.Content == 0 {
			return out, &UnreachableError{fmt.Sprintf("%s: the stream has no content", s.Scenario)}
		}
		nonce := r.nonce(n)
		echo := q.nonceAt >= 0
		if q.stream {
			echo = echo && strings.Contains(string(c.keep), string(nonce[:])+".")
		} else {
			echo = echo && strings.Contains(string(c.full), string(nonce[:])+".")
		}
		if s.Scenario.body() && s.Scenario != Embeddings {
			out.Echo = out.Echo && echo
		}
		if s.Scenario == Embeddings || !s.Scenario.body() {
			for _, q := range r.requests[i] {
				q.nonceAt = min(q.nonceAt, -1) // their answers have no text to echo it in
			}
		}
	}
	r.echo.Store(out.Echo)
	return out, nil
}

func (r *run) closeAll() {
	r.connMu.Lock()
	defer r.connMu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// findModel asks for the list of models and takes the only one.
func (r *run) findModel(c *client) (string, error) {
	q := &request{nonceAt: -1}
	q.layHead(r.plan, "GET", Models, 0)
	r.sent.Add(1)
	res := c.do(q, 0, 0)
	if res.Err != OK {
		return "", r.unreachable(Models, &res)
	}
	var list struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(c.full, &list); err != nil {
		return "", &UnreachableError{"models: the answer is not a list of models; give --model"}
	}
	switch len(list.Data) {
	case 0:
		return "", &UnreachableError{"models: the target lists none; give --model"}
	case 1:
		return list.Data[0].ID, nil
	}
	names := make([]string, 0, 5)
	for _, m := range list.Data[:min(5, len(list.Data))] {
		names = append(names, m.ID)
	}
	return "", fmt.Errorf("the target lists %d models; choose one with --model (%s …)", len(list.Data), strings.Join(names, ", "))
}

// unreachable puts a failed preflight into one sentence.
func (r *run) unreachable(s Scenario, res *Result) error {
	p := r.plan
	where := p.Target.URL.Scheme + "://" + p.Target.URL.Host + p.Target.path(s.path())
	detail := redact.Text(oneLine(res.Detail), p.Keys...)
	switch res.Err {
	case Connect:
		return &UnreachableError{fmt.Sprintf("cannot reach %s: %s", where, detail)}
	case Timeout:
		return &UnreachableError{fmt.Sprintf("%s does not answer within %v", where, p.RequestTimeout)}
	case Reset, Truncated:
		return &UnreachableError{fmt.Sprintf("%s closes the connection instead of answering (%s)", where, detail)}
	case TLS:
		return &UnreachableError{fmt.Sprintf("%s: the TLS handshake fails: %s", where, detail)}
	}
	hint := ""
	switch res.Status {
	case 401, 403:
		hint = "; give the key in LITELLM_API_KEY or with --api-key-file"
	case 404:
		hint = "; is this the base URL of a gateway?"
	}
	if res.Status >= 300 {
		return &UnreachableError{fmt.Sprintf("%s answers %d: %s%s", where, res.Status, detail, hint)}
	}
	return &UnreachableError{fmt.Sprintf("%s does not answer like a gateway (%s): %s", where, res.Err, detail)}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// sentence is the part of a network error that a person needs.
func sentence(err error) string {
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "no such host: " + e.Name
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "connection refused; is the gateway running?"
	}
	for _, known := range []struct {
		err  error
		text string
	}{
		{io.ErrUnexpectedEOF, "the connection ended in the middle of the answer"},
		{io.EOF, "the connection was closed without an answer"},
		{syscall.ECONNRESET, "the connection was reset"},
		{syscall.EPIPE, "the connection was closed while the request was sent"},
		{os.ErrDeadlineExceeded, "no answer in time"},
		{context.DeadlineExceeded, "no connection in time"},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return err.Error()
}
