package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
)

const (
	costMapPatience = 5 * time.Second
	costMapLimit    = 64 << 20
)

// LoadCostMap fetches the price list that LITELLM_MODEL_COST_MAP_URL names,
// before serving starts: prices must not change between two calls because a
// download took longer. Without the variable nothing is fetched. What went wrong
// is returned as a sentence; the list in use stays, which at the start is the
// embedded one.
func LoadCostMap(ctx context.Context, getenv func(string) string) (remark string) {
	address := strings.TrimSpace(getenv("LITELLM_MODEL_COST_MAP_URL"))
	if address == "" {
		catalog.UseCostMap(nil)
		return ""
	}
	if local, _, ok := litellm.ParseEnvBool("LITELLM_LOCAL_MODEL_COST_MAP", getenv("LITELLM_LOCAL_MODEL_COST_MAP")); ok && local {
		catalog.UseCostMap(nil)
		return ""
	}
	m, err := fetchCostMap(ctx, address, getenv)
	if err != nil {
		return "the prices of LITELLM_MODEL_COST_MAP_URL could not be read, others are used: " + redact.Text(err.Error())
	}
	catalog.UseCostMap(m)
	return ""
}

func fetchCostMap(ctx context.Context, address string, getenv func(string) string) (*catalog.CostMap, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("it is not an http or https address")
	}
	ctx, cancel := context.WithTimeout(ctx, costMapPatience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{Proxy: outboundProxy(getenv), DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, costMapLimit+1))
	if err != nil {
		return nil, err
	}
	if len(data) > costMapLimit {
		return nil, fmt.Errorf("it is longer than %d MiB", costMapLimit>>20)
	}
	return catalog.ParseCostMap(data)
}
