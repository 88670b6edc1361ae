package proxy

import (
	"bytes"
	"encoding/json"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// describe keeps what an entry says about itself, for /model/info. Nothing that
// can be a credential is part of it.
func (l *loader) describe(d *call.Deployment, m config.Entry, organization *string) {
	d.Info = object(m.Info)
	d.Params = object(m.Params)
	if params, ok := plain(m.Params).(map[string]any); ok && organization != nil {
		params["organization"] = *organization
		d.Params = jsonObject(params)
	}
}

// object writes a mapping as JSON, without secrets where it may hold some.
func object(n *config.Node) json.RawMessage {
	if n.IsNull() || n.Kind != config.Map {
		return nil
	}
	v, _ := plain(n).(map[string]any)
	return jsonObject(v)
}

func jsonObject(v map[string]any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // as all answers
	if err := enc.Encode(v); err != nil {
		return nil // a number that JSON does not have
	}
	return bytes.Clone(bytes.TrimRight(b.Bytes(), "\n"))
}

// hiddenParams hold credentials, or are headers that may.
var hiddenParams = map[string]bool{
	"extra_headers": true, "headers": true, "extra_body": true, "vertex_credentials": true, "aws_session_token": true, "aws_access_key_id": true,
	"azure_username": true, "azure_password": true, "client_secret": true,
}

func plain(n *config.Node) any {
	switch n.Kind {
	case config.Map:
		m := make(map[string]any, n.Len())
		for _, item := range n.Items() {
			if hiddenParams[item.Key] || config.SecretName(item.Key) || item.Secretive() {
				continue
			}
			m[item.Key] = plain(item)
		}
		return m
	case config.List:
		list := make([]any, 0, n.Len())
		for _, item := range n.Items() {
			list = append(list, plain(item))
		}
		return list
	case config.Bool:
		b, _ := n.Bool()
		return b
	case config.Int:
		if i, ok := n.Int(); ok {
			return i
		}
		f, _ := n.Number()
		return f
	case config.Float:
		f, _ := n.Number()
		return f
	}
	if n.IsNull() {
		return nil
	}
	s, _ := n.Scalar()
	return s
}
