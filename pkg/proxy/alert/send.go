package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// testTexts are LiteLLM's, which people search their channels for.
var testTexts = map[string]string{
	Exception: "LLM Exception test alert", Slow: "LLM Too Slow test alert", Hanging: "LLM Requests Hanging test alert", Outage: "Outage Alert Exception test alert",
	"db_exceptions": "DB Exception test alert", "daily_reports": "Daily Reports test alert",
}

// Test sends an alert at once, to every address there is, and says whether it
// was taken.
func (a *Alerts) Test(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if len(a.o.ByKind) == 0 {
		return a.send(ctx, message{kind: "budget_alerts", level: "Low", text: "This is a test slack alert message", at: a.o.now(), count: 1})
	}
	for _, kind := range slices.Sorted(maps.Keys(a.o.ByKind)) {
		if a.o.Types != nil && !slices.Contains(a.o.Types, kind) {
			continue
		}
		text := testTexts[kind]
		if text == "" {
			text = "Budget Alert test alert"
		}
		if err := a.send(ctx, message{kind: kind, level: "Low", text: text, at: a.o.now(), count: 1}); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what waits. An address that asks for quiet is given it; one that
// cannot be reached loses the alerts, counted, and is told of only once.
func (a *Alerts) flush(ctx context.Context, last bool) {
	if !last && a.o.now().Before(a.paused) {
		return
	}
	list := a.take(last)
	lost := 0
	var why error
	for i, m := range list {
		err := a.send(ctx, m)
		var busy *busyError
		switch {
		case errors.As(err, &busy) && !last:
			a.paused = a.o.now().Add(busy.after)
			a.putBack(list[i:])
			list = nil
		case err != nil:
			lost++
			why = err
		}
		if list == nil {
			break
		}
	}
	if lost > 0 {
		a.dropped.Add(int64(lost))
		a.o.Log.Warn("alerts were not delivered: "+a.o.Secrets.Text(why.Error(), a.secrets()...), "count", lost)
		if a.o.Failed != nil {
			a.o.Failed(lost)
		}
	}
}

// take removes the next alerts from the queue.
func (a *Alerts) take(all bool) []message {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := len(a.waiting)
	if !all {
		n = min(n, perFlush)
	}
	list := a.waiting[:n:n]
	a.queue(slices.Clone(a.waiting[n:]))
	return list
}

func (a *Alerts) putBack(list []message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list = append(slices.Clone(list), a.waiting...)
	if n := len(list) - capacity; n > 0 {
		a.dropped.Add(int64(n))
		list = list[:capacity]
	}
	a.queue(list)
}

// queue replaces what waits. The caller holds the lock.
func (a *Alerts) queue(list []message) {
	a.waiting = list
	clear(a.index)
	for i := range list {
		a.index[list[i].kind+"\x00"+list[i].text] = i
	}
}

// busyError is an address that asks for quiet.
type busyError struct{ after time.Duration }

func (e *busyError) Error() string { return "the address of alerts asks to wait " + e.after.String() }

// secrets are those of the alerts alone.
func (a *Alerts) secrets() []redact.Secret {
	list := []redact.Secret{a.o.URL, a.o.Teams}
	for _, urls := range a.o.ByKind {
		list = append(list, urls...)
	}
	return list
}

// text frames an alert as LiteLLM does.
func (a *Alerts) text(m message) string {
	text := m.text
	switch {
	case m.form == digestForm:
	case m.kind == Daily:
		text = "Alert type: `" + m.kind + "`" + m.text
	default:
		text = fmt.Sprintf("Alert type: `%s`\nLevel: `%s`\nTimestamp: `%s`\n\nMessage: %s", sentAs(m.kind), m.level, m.at.Format("15:04:05"), m.text)
	}
	if a.o.ProxyURL != "" {
		text += "\n\nProxy URL: `" + a.o.ProxyURL + "`"
	}
	if m.count > 1 {
		text = fmt.Sprintf("[Num Alerts: %d]\n\n%s", m.count, text)
	}
	return text
}

// send posts an alert to its addresses.
func (a *Alerts) send(ctx context.Context, m message) error {
	text := a.text(m)
	if a.o.Console {
		a.o.Log.Warn("alert: " + text)
	}
	urls := a.o.ByKind[sentAs(m.kind)]
	if len(urls) == 0 && !a.o.URL.IsZero() {
		urls = []redact.Secret{a.o.URL}
	}
	if m.form == teamsForm {
		urls = nil
	}
	if len(urls) > 0 {
		body, err := json.Marshal(map[string]string{"text": text})
		if err != nil {
			return err
		}
		for _, url := range urls {
			if err := a.post(ctx, url, body); err != nil {
				return err
			}
		}
	}
	if a.o.Teams.IsZero() || m.form == digestForm {
		return nil
	}
	body, err := json.Marshal(card(text))
	if err != nil {
		return err
	}
	return a.post(ctx, a.o.Teams, body)
}

// card is a message of Microsoft Teams.
func card(text string) any {
	type object = map[string]any
	return object{"type": "message", "attachments": []object{{
		"contentType": "application/vnd.microsoft.card.adaptive",
		"content":     object{"type": "AdaptiveCard", "version": "1.4", "body": []object{{"type": "TextBlock", "text": text, "wrap": true}}},
	}}}
}

func (a *Alerts) post(ctx context.Context, url redact.Secret, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url.Reveal(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the address of alerts cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("send the alert: %s", redact.Text(err.Error(), url))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode == http.StatusTooManyRequests {
		after := 30 * time.Second
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
			after = min(time.Duration(n)*time.Second, maxPause)
		}
		return &busyError{after}
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("the address of alerts answered %s", resp.Status)
	}
	return nil
}
