package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// open opens the file for appending. Others may not read it: it names people.
func (s *Sink) open() error {
	f, err := os.OpenFile(s.o.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("the log sink %s cannot be opened: %w", s.o.Name, err)
	}
	if s.file != nil {
		_ = s.file.Close() // it was moved away; what was written stays
	}
	s.file = f
	return nil
}

// rotated reports whether the file was moved away or deleted since it was
// opened.
func (s *Sink) rotated() bool {
	there, err := os.Stat(s.o.File)
	if err != nil {
		return errors.Is(err, os.ErrNotExist)
	}
	mine, err := s.file.Stat()
	return err == nil && !os.SameFile(there, mine)
}

// write appends a batch to the file or the stream, in one write.
func (s *Sink) write(batch [][]byte) error {
	b := append(bytes.Join(batch, []byte("\n")), '\n')
	to := s.o.To
	if s.o.File != "" {
		if s.rotated() {
			if err := s.open(); err != nil {
				return err
			}
		}
		to = s.file
	}
	if _, err := to.Write(b); err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	return nil
}

// permanent is a refusal that another try does not change.
type permanent struct{ error }

// post sends a body, again where that may help.
func (s *Sink) post(ctx context.Context, body []byte) error {
	delay := s.o.RetryDelay
	for try := 0; ; try++ {
		err := s.try(ctx, body)
		var p permanent
		if err == nil || errors.As(err, &p) || try >= s.o.Retries || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-s.stopping.Done(): // the last tries follow each other
			timer.Stop()
		}
		delay *= 2
	}
}

func (s *Sink) try(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.URL.Reveal(), bytes.NewReader(body))
	if err != nil {
		return permanent{errors.New("the address cannot be used")}
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range s.o.Headers {
		req.Header.Set(name, value.Reveal())
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("send records: %s", redact.Text(err.Error(), s.o.URL))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode < 300:
		return nil
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout:
		return fmt.Errorf("the endpoint answered %s", resp.Status)
	}
	return permanent{fmt.Errorf("the endpoint answered %s", resp.Status)}
}
