package wire

import (
	"net/http"
	"strings"
)

// Forward returns prepared headers joined with those of a client's that may go
// to an upstream where the operator has allowed it: those that begin with X-,
// and Anthropic-Beta. The gateway's own headers, credentials, and what SDKs say
// about themselves (which makes other SDKs fail) never pass, and what was
// prepared is never replaced. It returns prepared itself when nothing passes.
func Forward(prepared, client http.Header) http.Header {
	var out http.Header
	for name, values := range client {
		if !forwards(name) {
			continue
		}
		if _, taken := prepared[name]; taken {
			continue
		}
		if out == nil {
			out = make(http.Header, len(prepared)+4)
			for n, v := range prepared {
				out[n] = v
			}
		}
		out[name] = values
	}
	if out == nil {
		return prepared
	}
	return out
}

// forwards decides by the canonical name.
func forwards(name string) bool {
	if name == "Anthropic-Beta" {
		return true
	}
	if !strings.HasPrefix(name, "X-") {
		return false
	}
	switch name {
	case "X-Api-Key", "X-Goog-Api-Key", "X-Auth-Token", "X-Amz-Security-Token":
		return false
	}
	return !strings.HasPrefix(name, "X-Stainless") && !strings.HasPrefix(name, "X-Litellm-")
}
