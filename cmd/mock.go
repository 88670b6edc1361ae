package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/llmgw/llmgw/pkg/mock"
)

func newMockCommand(a *app) *cobra.Command {
	var (
		host, latency, ttft, itl, file string
		faults                         []string
		port, procs                    int
		printConfig                    bool
		opt                            mock.Options
	)
	c := &cobra.Command{
		Use:   "mock",
		Short: "Run a scripted upstream: an OpenAI-compatible server with delays and faults of your choice",
		Long: `mock answers chat completions (streamed and not), completions, embeddings,
responses and the model list like an OpenAI-compatible provider, without a
model behind it. Point a gateway at it to measure the gateway and nothing else.

Delays are distributions: 50ms, uniform:10ms..30ms, exp:20ms,
lognormal:60ms,0.3 (median, sigma), pareto:5ms,1.5 (minimum, alpha) or
trace:FILE with one duration a line. The default is no delay at all.

The model name can ask for a delay too: "mock/itl-20ms", "mock/ttft-1s",
"mock/latency-50ms".

Faults strike a share of the requests (--error 429=1% --error cut=0.5%) or every
request for the model "mock/KIND". KIND is one of:
  ` + strings.Join(mock.FaultNames(), ", ") + `

GET /__stats shows what was counted, POST /__reset starts the counts afresh. A
prompt with "nonce:" and 16 hexadecimal digits gets them back before the text of
every event, numbered, so that a client can tell lost, repeated and mixed-up
events; the header x-nonce comes back as it is.

Exit codes: 0 stopped by a signal; 2 wrong option, or the address is taken.`,
		Example: `  llmgw mock --port 9000 --ttft 200ms --itl exp:20ms --chunks 50
  llmgw mock --print-config > config.yaml`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if port < 0 || port > 65535 {
				return usagef("--port %d: a port is a number from 0 to 65535", port)
			}
			if printConfig {
				if port == 0 {
					return usagef("--print-config needs the port that the mock will have; give --port")
				}
				key, err := randomKey()
				if err != nil {
					return fmt.Errorf("make a master key: %w", err)
				}
				_, err = fmt.Fprintf(a.out, mockConfig, net.JoinHostPort(host, strconv.Itoa(port)), key)
				return err
			}
			for _, d := range []struct {
				flag, text string
				to         *mock.Dist
			}{{"latency", latency, &opt.Latency}, {"ttft", ttft, &opt.TTFT}, {"itl", itl, &opt.ITL}} {
				dist, err := parseDist(d.text)
				if err != nil {
					return usagef("--%s: %w", d.flag, err)
				}
				*d.to = dist
			}
			total := 0.0
			for _, text := range faults {
				f, err := mock.ParseFault(text)
				if err != nil {
					return usagef("--error: %w", err)
				}
				opt.Faults = append(opt.Faults, f)
				total += f.Share
			}
			if total > 1+1e-9 {
				return usagef("--error: the shares add up to %.4g%%, more than all requests", total*100)
			}
			for _, n := range []struct {
				flag       string
				value, max int
			}{
				{"chunks", opt.Chunks, 1 << 20}, {"chunk-bytes", opt.ChunkBytes, 16 << 20}, {"fragment", opt.Fragment, 1 << 30},
				{"coalesce", opt.Coalesce, 1 << 20}, {"rpm", opt.RPM, 1 << 40}, {"tpm", opt.TPM, 1 << 40}, {"procs", procs, 1 << 12},
			} {
				if n.value < 0 || n.value > n.max {
					return usagef("--%s %d: must be between 0 and %d", n.flag, n.value, n.max)
				}
			}
			if chunks := max(opt.Chunks, 16); chunks*max(opt.ChunkBytes, 8) > 256<<20 {
				return usagef("--chunks %d of --chunk-bytes %d make an answer of more than 256 MiB", opt.Chunks, opt.ChunkBytes)
			}
			if file != "" {
				text, err := os.ReadFile(file)
				if err != nil {
					return usagef("--response-file %s: %s", file, reason(err))
				}
				if len(text) == 0 || len(text) > 64<<20 || !utf8.Valid(text) {
					return usagef("--response-file %s: must be UTF-8 text of 1 byte to 64 MiB", file)
				}
				opt.Text = string(text)
			}
			if procs > 0 {
				runtime.GOMAXPROCS(procs)
			}
			ln, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
			if err != nil {
				return usagef("%s", listenProblem(host, port, err))
			}
			m := mock.New(opt)
			fmt.Fprintf(a.out, "http://%s\n", ln.Addr())
			a.infof("mock upstream: POST http://%s/v1/chat/completions; counts at /__stats; ^C stops it", ln.Addr())
			return m.Serve(c.Context(), ln, func(share float64) {
				a.warnf("the mock uses %.0f%% of its CPUs: from here on it is the bottleneck, not the gateway", share*100)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&host, "host", "127.0.0.1", "address to listen on")
	f.IntVar(&port, "port", 9000, "port to listen on; 0 takes a free one")
	f.StringVar(&latency, "latency", "0", "delay before an answer that does not stream")
	f.StringVar(&ttft, "ttft", "0", "delay before the first event of a stream")
	f.StringVar(&itl, "itl", "0", "gap between content events of a stream")
	f.IntVar(&opt.Chunks, "chunks", 16, "content events of a stream, completion tokens of every answer")
	f.IntVar(&opt.ChunkBytes, "chunk-bytes", 0, "bytes of text in a content event; 0 is one word")
	f.BoolVar(&opt.UTF8, "utf8", false, "answer in characters of two to four bytes")
	f.StringVar(&file, "response-file", "", "answer with the text in this `file`")
	f.IntVar(&opt.Fragment, "fragment", 0, "split every write of a stream into pieces of so many bytes")
	f.IntVar(&opt.Coalesce, "coalesce", 1, "events in one write")
	f.StringSliceVar(&opt.Models, "models", []string{"mock"}, "names listed by /v1/models")
	f.StringArrayVar(&faults, "error", nil, "fault and its share of requests, `KIND=P%` (repeatable)")
	f.IntVar(&opt.RPM, "rpm", 0, "requests per minute before 429; 0 is no limit")
	f.IntVar(&opt.TPM, "tpm", 0, "tokens per minute before 429; 0 is no limit")
	f.Uint64Var(&opt.Seed, "seed", 1, "seed of all randomness")
	f.IntVar(&procs, "procs", 0, "CPUs to use; 0 is all")
	f.BoolVar(&printConfig, "print-config", false, "print a config.yaml that uses this mock, and exit")
	return c
}

// noArgs is cobra.NoArgs in one sentence of ours.
func noArgs(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("takes no arguments; got %q; see %s --help", args[0], c.CommandPath())
	}
	return nil
}

// parseDist adds trace:FILE to the forms of mock.ParseDist.
func parseDist(text string) (mock.Dist, error) {
	name, ok := strings.CutPrefix(text, "trace:")
	if !ok {
		return mock.ParseDist(text)
	}
	f, err := os.Open(name)
	if err != nil {
		return mock.Dist{}, fmt.Errorf("cannot read %s: %s", name, reason(err))
	}
	defer f.Close()
	return mock.Trace(name, f)
}

// listenProblem says in one sentence why an address cannot be listened on.
func listenProblem(host string, port int, err error) string {
	addr := net.JoinHostPort(host, strconv.Itoa(port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Sprintf("%s is taken by another process; choose another --port, or 0 for a free one", addr)
	}
	if errors.Is(err, syscall.EACCES) {
		return fmt.Sprintf("not allowed to listen on %s; ports below 1024 need a privilege", addr)
	}
	var dns *net.DNSError
	if errors.As(err, &dns) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("--host %s: no such host", host)
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err
	}
	return fmt.Sprintf("cannot listen on %s: %v", addr, err)
}

func randomKey() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return "sk-" + hex.EncodeToString(b[:]), nil
}

// mockConfig is a production configuration with the mock as its only model.
const mockConfig = `# Start the upstream with "llmgw mock" and the gateway with "llmgw serve --config" and this file.
model_list:
  - model_name: fake-openai-endpoint
    litellm_params:
      model: openai/fake
      api_key: fake-key
      api_base: http://%s/
general_settings:
  master_key: %s # made for this file; put your own in the environment and write os.environ/LITELLM_MASTER_KEY here
  # alerting: ["slack"] # needs SLACK_WEBHOOK_URL in the environment
  proxy_batch_write_at: 60
  database_connection_pool_limit: 10
litellm_settings:
  request_timeout: 600
  set_verbose: false
  json_logs: true
`
