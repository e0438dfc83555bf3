package wire

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"dtc"
)

// ErrDates is in the error of a connection that ended because the peer finds
// the dates of this side's certificate wrong. TLS does not tell what its clock
// says.
var ErrDates = errors.New("is a clock wrong, this one or the peer's? set the clock that is")

// minuteText is how a time stands in an error.
const minuteText = "2006-01-02 15:04 MST"

// ownDates returns from when to when the certificate is valid that a client with
// cfg shows; false if there is none.
func ownDates(cfg *tls.Config) (from, to time.Time, ok bool) {
	own := &tls.Certificate{}
	switch {
	case cfg.GetClientCertificate != nil:
		shown, err := cfg.GetClientCertificate(&tls.CertificateRequestInfo{})
		if err != nil {
			return from, to, false
		}
		own = shown
	case len(cfg.Certificates) > 0:
		own = &cfg.Certificates[0]
	}
	if own.Leaf == nil {
		return from, to, false
	}
	return own.Leaf.NotBefore, own.Leaf.NotAfter, true
}

// datesRefused says more of an error by which the peer finds a certificate's
// dates wrong; nil of another.
func datesRefused(err error, cfg *tls.Config) error {
	const expired = tls.AlertError(45) // RFC 8446, 6.2: certificate_expired; sent for one of the future too
	if !isAlert(err, expired) {
		return nil
	}
	from, to, ok := ownDates(cfg)
	if !ok {
		return nil
	}
	now := timeOf(cfg)
	return &dtc.Error{Kind: dtc.KindCertificate, Err: fmt.Errorf(
		"the peer finds that this host's certificate is not valid now: it is from %s until %s, and this host's clock says %s; %w",
		from.UTC().Format(minuteText), to.UTC().Format(minuteText), now.UTC().Format(minuteText), ErrDates)}
}

// notProven tells of a connection that has not proven itself. What may be for a
// wrong clock is told to the operator, once a minute of one source.
func (r *run) notProven(raw net.Conn, err error) {
	remote := raw.RemoteAddr().String()
	source := "clock " + sourceOf(remoteIP(raw)).String()
	if bad, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(bad.UnverifiedCertificates) > 0 {
		cert, now := bad.UnverifiedCertificates[0], timeOf(r.tls)
		if (now.Before(cert.NotBefore) || now.After(cert.NotAfter)) && r.told.once(source) {
			r.Logger.Warn("connection refused: the peer's certificate is not valid now; is a clock wrong, this one or the one of who made it?",
				"remote", remote, "valid_from", cert.NotBefore, "valid_until", cert.NotAfter, "this_clock", now.UTC().Truncate(time.Second))
			return
		}
	}
	const bad = tls.AlertError(42) // bad_certificate
	if isAlert(err, bad) && r.told.once(source) {
		r.Logger.Warn("a peer refused this host's certificate: it is of another fleet, has it as revoked, or a clock is wrong, this one or its own",
			"remote", remote, "this_clock", timeOf(r.tls).UTC().Truncate(time.Second))
		return
	}
	r.Logger.Debug("connection not proven", "remote", remote, "error", err)
}

// timeOf returns the time by which certificates are judged with cfg.
func timeOf(cfg *tls.Config) time.Time {
	if cfg.Time != nil {
		return cfg.Time()
	}
	return time.Now()
}
