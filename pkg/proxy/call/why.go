package call

import (
	"errors"
	"net"
	"strings"
	"syscall"
)

// Why says in a few words why a connection failed, without Go's wording and
// without addresses that the caller of an API has no business to know.
func Why(err error) string {
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		return "The host name of the upstream does not exist."
	case errors.As(err, &dns):
		return "The host name of the upstream could not be resolved."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The upstream refused the connection."
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "The upstream reset the connection."
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "The upstream's network is not reachable."
	case strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "tls:"):
		return "The TLS handshake with the upstream failed."
	case strings.HasSuffix(err.Error(), "EOF"):
		return "The upstream closed the connection without an answer."
	}
	return "The upstream could not be reached."
}
