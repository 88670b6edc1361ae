package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

// ErrorKind is why a request did not succeed.
type ErrorKind uint8

// The kinds of error. Generator errors are ours, not the target's, and make a
// measurement invalid.
const (
	OK ErrorKind = iota
	HTTP4xx
	HTTP429
	HTTP5xx
	Timeout
	Connect
	Reset
	TLS
	Protocol
	Truncated
	MissingDone
	Stall
	StreamError
	Validation
	Generator
	kindCount
)

var kindNames = [kindCount]string{
	"ok", "http_4xx", "http_429", "http_5xx", "timeout", "connect", "reset", "tls", "protocol", "truncated_stream",
	"missing_done", "stall", "stream_error", "validation", "generator",
}

func (k ErrorKind) String() string { return kindNames[k] }

// protocolError is an answer that is not HTTP or not framed as it says.
type protocolError string

func (e protocolError) Error() string { return string(e) }

var errStall = errors.New("no event for longer than the stall limit")

// classify names an error of the connection. begun says that a part of the
// answer had arrived.
func classify(err error, begun bool) ErrorKind {
	var (
		perr protocolError
		rec  tls.RecordHeaderError
		cert *tls.CertificateVerificationError
		unk  x509.UnknownAuthorityError
		host x509.HostnameError
		aler tls.AlertError
	)
	switch {
	case errors.As(err, &perr):
		return Protocol
	case errors.Is(err, errStall):
		return Stall
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.ENOBUFS):
		return Generator
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.As(err, &rec), errors.As(err, &cert), errors.As(err, &unk), errors.As(err, &host), errors.As(err, &aler):
		return TLS
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		if begun {
			return Truncated
		}
		return Reset
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return Reset
	case dialing(err):
		return Connect
	}
	if strings.Contains(err.Error(), "tls:") {
		return TLS
	}
	return Protocol
}

func dialing(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}

func statusKind(status int) ErrorKind {
	switch {
	case status >= 200 && status < 300:
		return OK
	case status == 429:
		return HTTP429
	case status >= 400 && status < 500:
		return HTTP4xx
	case status >= 500 && status < 600:
		return HTTP5xx
	}
	return Protocol
}
