package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
)

// inWords returns an error of a connection in words for who looks after the
// receiver, where there are better ones than those of the libraries.
func inWords(err error) error {
	if words := connectionWords(err); words != "" {
		return errors.New(words)
	}
	if words := certificateWords(err); words != "" {
		return errors.New(words)
	}
	if words := protocolWords(err); words != "" {
		return errors.New(words)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err // without the addresses, which are said already
	}
	text := err.Error()
	for _, prefix := range []string{"net/http: ", "http: ", "tls: ", "x509: "} {
		text = strings.TrimPrefix(text, prefix)
	}
	return errors.New(text)
}

// connectionWords says why there is no connection, or none any more.
func connectionWords(err error) string {
	var timeout net.Error
	name, unnamed := errors.AsType[*net.DNSError](err)
	switch {
	case errors.Is(err, context.Canceled):
		return "given up, for the program ends"
	case unnamed && name.IsNotFound:
		return "there is no host " + name.Name + " (name resolution)"
	case unnamed:
		return "the name " + name.Name + " could not be resolved: " + name.Err
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case isOneOf(err, refusedErrnos()):
		return "connection refused: nobody listens there"
	case isOneOf(err, noRouteErrnos()):
		return "no route: it cannot be reached from here"
	case isOneOf(err, lostErrnos()):
		return "the other side broke the connection off"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed before the answer was whole"
	}
	op, ok := errors.AsType[*net.OpError](err)
	switch {
	case !ok || op.Op != "dial":
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such socket"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to connect to it"
	default:
		return ""
	}
}

func isOneOf(err error, list []error) bool {
	return slices.ContainsFunc(list, func(one error) bool { return errors.Is(err, one) })
}

// certificateWords says why the other side's certificate is not accepted.
func certificateWords(err error) string {
	const refused = "its certificate is not accepted: "
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unknown):
		return refused + "its authority is not known here: give the certificate of that as ca"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refused + "it has expired, or is not valid yet"
	case errors.As(err, &host):
		return refused + "it is not for " + host.Host
	case errors.As(err, &verification):
		return refused + strings.TrimPrefix(verification.Err.Error(), "x509: ")
	default:
		return ""
	}
}

// protocolWords says that the other side speaks something else. Of most of these
// errors there is no type, only the text.
func protocolWords(err error) string {
	var record tls.RecordHeaderError
	var protocol textproto.ProtocolError
	text := err.Error()
	switch op, ok := errors.AsType[*net.OpError](err); {
	case ok && op.Op == "remote error" && op.Err != nil:
		return "it broke TLS off: " + strings.TrimPrefix(op.Err.Error(), "tls: ")
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/":
		return "it speaks HTTP without TLS there: check the port, or make the url http://"
	case errors.As(err, &record):
		return "the answer is no TLS: check the port"
	case strings.Contains(text, "server response headers exceeded"):
		return "the header of its answer is too long"
	case strings.Contains(text, "malformed HTTP"), strings.Contains(text, "transport connection broken"),
		strings.Contains(text, "readLoopPeekFail"): // it speaks before it is asked
		return "the answer is no HTTP: check the port"
	case errors.As(err, &protocol):
		return "the answer is not what such a server says: " + strings.TrimSpace(string(protocol))
	default:
		return ""
	}
}
