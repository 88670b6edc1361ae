package provider

import (
	"fmt"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

var _ wire.Borrower = (*lanes)(nil)

// Borrow implements wire.Borrower. To an address of a client's goes nothing of
// the operator's: no header, no parameter, no variable, no setting of
// certificates.
func (w *lanes) Borrow(d *call.Deployment, key redact.Secret, base string) (*call.Deployment, error) {
	e := w.entry
	e.APIKey, e.ADToken, e.Login = key, redact.Secret{}, EntraLogin{}
	made := *d
	made.Lane, made.Lanes, made.Answer, made.Token = nil, nil, nil, nil
	if base != "" {
		e = Entry{
			Model: e.Model, Provider: e.Provider, UseLiteLLMProxy: e.UseLiteLLMProxy, UserAgent: e.UserAgent,
			APIBase: base, APIKey: key, APIVersion: e.APIVersion, BaseModel: e.BaseModel, Drop: e.Drop,
		}
		made.TLS, made.Organization, made.ExtraHeaders = nil, "", nil
	}
	if err := e.Deploy(&made, wire.Chat); err != nil {
		return nil, err
	}
	if made.Provider != d.Provider {
		return nil, fmt.Errorf("the address is one of %q, the deployment is of %q", made.Provider, d.Provider)
	}
	made.Model = d.Model
	return &made, nil
}
