package cmd

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
)

// asker speaks to a gateway that runs already (serve --health, --test).
type asker struct {
	a      *app
	base   string
	key    redact.Secret
	client *http.Client
}

// maxAsked bounds what is read of an answer.
const maxAsked = 16 << 20

// running finds the gateway that the same flags and variables would start.
func (f *serveFlags) running(a *app) (*asker, error) {
	env := config.ProcessEnv(os.Environ())
	if err := readEnvFile(env, f.envFile); err != nil {
		return nil, err
	}
	host, port := f.host, strconv.Itoa(f.port)
	if v := strings.TrimSpace(env.Get("HOST")); v != "" && !f.set.Changed("host") {
		host = v
	}
	if v := strings.TrimSpace(env.Get("PORT")); v != "" && !f.set.Changed("port") {
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 65535 {
			return nil, usagef("PORT is %q, expected a whole number", v)
		}
		port = v
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address, this one among them
	}
	key, _, err := secretFlag("api-key", f.apiKey, f.apiKeyFile)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"LITELLM_API_KEY", "LITELLM_MASTER_KEY", "OPENAI_API_KEY"} {
		if key.IsZero() {
			key = redact.New(env.Get(name))
		}
	}
	transport := &http.Transport{}
	scheme := "http"
	if f.certFile != "" || env.Get("SSL_CERTFILE_PATH") != "" {
		scheme = "https"
		if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() || host == "localhost" {
			// The certificate is for the name that clients use, not for this one.
			transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true} //nolint:gosec // our own machine
		}
	}
	return &asker{
		a: a, key: key, base: scheme + "://" + net.JoinHostPort(host, port) + strings.TrimRight(env.Get("SERVER_ROOT_PATH"), "/"),
		client: &http.Client{Transport: transport, Timeout: 10 * time.Minute},
	}, nil
}

// ask sends a request and returns the answer; anything but success is an error.
func (k *asker) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, usagef("%s is no address of a gateway: %w", k.base, err)
	}
	if !k.key.IsZero() {
		req.Header.Set("Authorization", "Bearer "+k.key.Reveal())
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := k.client.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err // the address is in the sentence
		}
		return nil, unreachable(fmt.Errorf("cannot reach %s: %w; is the gateway running?", k.base, err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAsked))
	if err != nil {
		return nil, unreachable(fmt.Errorf("the answer of %s broke off: %w", k.base+path, err))
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized && k.key.IsZero():
		return nil, usagef("%s wants a key: give --api-key-file, LITELLM_API_KEY or LITELLM_MASTER_KEY", k.base)
	case resp.StatusCode != http.StatusOK:
		return nil, badAnswer(fmt.Errorf("%s answered %s: %s", path, resp.Status, redact.Text(strings.TrimSpace(string(answer[:min(len(answer), 2000)])))))
	}
	return answer, nil
}

// print writes an answer as indented JSON, or as it came.
func (k *asker) print(answer []byte) error {
	var b bytes.Buffer
	if json.Indent(&b, answer, "", "  ") != nil {
		b.Reset()
		b.Write(answer)
	}
	_, err := fmt.Fprintln(k.a.out, strings.TrimRight(b.String(), "\n"))
	return err
}

// askHealth prints /health of a running gateway. Deployments that do not work
// are exit code 1.
func (f *serveFlags) askHealth(ctx context.Context, a *app) error {
	k, err := f.running(a)
	if err != nil {
		return err
	}
	answer, err := k.ask(ctx, http.MethodGet, "/health", nil)
	if err != nil {
		return err
	}
	if err := k.print(answer); err != nil {
		return err
	}
	var counts struct {
		Unhealthy int `json:"unhealthy_count"`
	}
	if json.Unmarshal(answer, &counts) == nil && counts.Unhealthy > 0 {
		return badAnswer(fmt.Errorf("%s unhealthy", countOf(counts.Unhealthy, "deployment")))
	}
	return nil
}

// testText is what the model is asked by --test.
const testText = "This is a test request. Answer with one short sentence."

// askChat sends a chat to a running gateway and prints the answer: to the model
// of --model, or the first that is listed.
func (f *serveFlags) askChat(ctx context.Context, a *app) error {
	k, err := f.running(a)
	if err != nil {
		return err
	}
	model := f.one.model
	if model == "" {
		answer, err := k.ask(ctx, http.MethodGet, "/v1/models", nil)
		if err != nil {
			return err
		}
		var list struct{ Data []struct{ ID string } }
		if err := json.Unmarshal(answer, &list); err != nil || len(list.Data) == 0 {
			return badAnswer(errors.New("the gateway lists no model; give --model"))
		}
		model = list.Data[0].ID
	}
	body, err := json.Marshal(map[string]any{
		"model": model, "messages": []any{map[string]string{"role": "user", "content": testText}},
	})
	if err != nil {
		return err
	}
	answer, err := k.ask(ctx, http.MethodPost, "/v1/chat/completions", body)
	if err != nil {
		return err
	}
	return k.print(answer)
}
