package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"connectrpc.com/connect"

	"dtc"
)

// ErrOlder is the error of a call that the agent does not know.
var ErrOlder = errors.New("the agent there is older than this question: install a dtc-agent of this version")

// failed returns err as an error with its kind. An error that has one already
// stays as it is.
func failed(err error) error {
	if e, ok := errors.AsType[*dtc.Error](err); ok {
		return e
	}
	return &dtc.Error{Kind: classify(err), Err: err}
}

// lost is failed for a connection that was established: what has no other kind
// means that the peer went away.
func lost(err error) error {
	e, ok := errors.AsType[*dtc.Error](failed(err))
	if ok && e.Kind == dtc.KindOther {
		return &dtc.Error{Kind: dtc.KindUnavailable, Err: e.Err}
	}
	return e
}

// classify finds the kind of an error of a connection.
func classify(err error) dtc.ErrorKind {
	var timeout net.Error
	var verification *tls.CertificateVerificationError
	switch {
	case dtc.KindOf(err) != dtc.KindOther:
		return dtc.KindOf(err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout(),
		isErrno(err, timeoutErrnos()):
		return dtc.KindTimeout
	case isErrno(err, refusedErrnos()):
		return dtc.KindRefused
	case isErrno(err, noRouteErrnos()), isBlocked(err):
		return dtc.KindNoRoute
	case isErrno(err, lostErrnos()):
		return dtc.KindUnavailable
	case errors.As(err, &verification), isCertificateAlert(err):
		return dtc.KindCertificate
	default:
		return dtc.KindOther
	}
}

// isBlocked reports whether a firewall of this machine has refused a connection.
func isBlocked(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" && errors.Is(err, fs.ErrPermission)
}

func isErrno(err error, numbers []error) bool {
	return slices.ContainsFunc(numbers, func(number error) bool { return errors.Is(err, number) })
}

// isCertificateAlert reports whether err is the peer's refusal of our
// certificate: one of the alerts of RFC 8446, section 6.2, that are about it.
func isCertificateAlert(err error) bool {
	return isAlert(err,
		42,  // bad_certificate
		43,  // unsupported_certificate
		44,  // certificate_revoked
		45,  // certificate_expired
		46,  // certificate_unknown
		48,  // unknown_ca
		49,  // access_denied
		116, // certificate_required
	)
}

// isAlert reports whether err is one of these alerts of the peer. crypto/tls has
// no exported type for an alert that was received, but its text is that of the
// exported one.
func isAlert(err error, alerts ...tls.AlertError) bool {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" {
		return false
	}
	return slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
}

// codeOf returns the code by which kind crosses the wire.
func codeOf(kind dtc.ErrorKind) connect.Code {
	switch kind {
	case dtc.KindInvalid:
		return connect.CodeInvalidArgument
	case dtc.KindDenied:
		return connect.CodePermissionDenied
	case dtc.KindTimeout:
		return connect.CodeDeadlineExceeded
	case dtc.KindUnavailable:
		return connect.CodeUnavailable
	default:
		return connect.CodeUnknown
	}
}

// kindOf returns what a code from the wire means to the asker.
func kindOf(code connect.Code) dtc.ErrorKind {
	switch code {
	case connect.CodeInvalidArgument, connect.CodeUnimplemented, connect.CodeNotFound, connect.CodeOutOfRange:
		return dtc.KindInvalid
	case connect.CodePermissionDenied, connect.CodeUnauthenticated:
		return dtc.KindDenied
	case connect.CodeDeadlineExceeded:
		return dtc.KindTimeout
	case connect.CodeUnavailable, connect.CodeCanceled:
		return dtc.KindUnavailable
	default:
		return dtc.KindOther
	}
}

// toPeer returns err as the server tells it to a proven monitor.
func toPeer(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*connect.Error](err); ok {
		return e // sending failed
	}
	kind, text := dtc.KindOf(err), err.Error()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		kind = dtc.KindTimeout
	case errors.Is(err, context.Canceled): // or the asker has gone, and hears nothing
		kind, text = dtc.KindUnavailable, "it is about to stop"
	}
	return connect.NewError(codeOf(kind), errors.New(clean(text)))
}

// fromCall returns the error of an RPC as the client tells it. Its text says
// what went wrong, in words of this package or in cleaned ones of the agent.
func fromCall(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fromContext(ctx)
	}
	if e, ok := errors.AsType[*dtc.Error](err); ok {
		return e
	}
	remote, ok := errors.AsType[*connect.Error](err)
	switch {
	case !ok:
		return failed(err)
	case remote.Code() == connect.CodeUnimplemented: // there is no such page, or nothing behind it
		return &dtc.Error{Kind: dtc.KindInvalid, Err: ErrOlder}
	case connect.IsWireError(err):
		return &dtc.Error{Kind: kindOf(remote.Code()), Err: errors.New(clean(remote.Message()))}
	}
	switch remote.Code() {
	case connect.CodeDeadlineExceeded:
		return &dtc.Error{Kind: dtc.KindTimeout, Err: errors.New("no answer in time")}
	case connect.CodeResourceExhausted:
		return &dtc.Error{Kind: dtc.KindOther, Err: fmt.Errorf("a message is larger than possible: %s", clean(remote.Message()))}
	case connect.CodeInvalidArgument: // the details are of the protobuf library, for programmers
		return &dtc.Error{Kind: dtc.KindOther, Err: errMalformed}
	default:
		return &dtc.Error{Kind: dtc.KindOther, Err: fmt.Errorf("%w: %s", errMalformed, clean(remote.Message()))}
	}
}

// fromContext says why a call ended that its own context ended.
func fromContext(ctx context.Context) error {
	cause := context.Cause(ctx)
	if e, ok := errors.AsType[*dtc.Error](cause); ok {
		return e
	}
	if errors.Is(cause, context.DeadlineExceeded) {
		return &dtc.Error{Kind: dtc.KindTimeout, Err: fmt.Errorf("no answer in time: %w", cause)}
	}
	return &dtc.Error{Kind: dtc.KindOther, Err: cause}
}
