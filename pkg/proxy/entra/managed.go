package entra

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// machine is the metadata service of Azure's machines.
const machine = "http://169.254.169.254"

// managed asks for the identity of the machine, or of the service that the
// process runs in.
func (s *Sources) managed(ctx context.Context, l *call.Login) (*grant, error) {
	q := url.Values{"resource": {strings.TrimSuffix(l.Scope, "/.default")}}
	if l.Client != "" {
		q.Set("client_id", l.Client)
	}
	address, name, value := l.Endpoint, "X-Identity-Header", l.Secret.Reveal()
	if address != "" { // App Service, Functions, Container Apps
		q.Set("api-version", "2019-08-01")
	} else {
		address, name, value = machine, "Metadata", "true"
		if l.Host != "" {
			address = strings.TrimRight(l.Host, "/")
		}
		address += "/metadata/identity/oauth2/token"
		q.Set("api-version", "2018-02-01")
	}
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address+separator+q.Encode(), nil)
	if err != nil {
		return nil, &problem{text: "the address of the managed identity cannot be used", final: true}
	}
	req.Header.Set(name, value)
	g, err := s.exchange(s.direct, req, func(status int, a *answer, p *problem) {
		switch status {
		case http.StatusNotFound, http.StatusGone: // while the service starts, or is being renewed
			p.final = false
		case http.StatusBadRequest:
			p.none = true
			p.text += "; check that the identity is assigned to this machine"
			if l.Client != "" {
				p.text += ", and AZURE_CLIENT_ID"
			}
		}
	})
	if p, ok := err.(*problem); ok && strings.Contains(p.text, "cannot be asked") {
		p.none = true
	}
	return g, err
}
