package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The bounds of one delivery over HTTP.
const (
	maxAnswer    = 64 << 10         // bytes of an answer that are read
	maxHeader    = 64 << 10         // bytes of its header
	connectTime  = 10 * time.Second // to connect, name resolution included, and again for TLS
	deliveryTime = 30 * time.Second // for all of it, where ctx gives more
	maxLater     = time.Hour        // that a receiver may have us wait
)

// contentJSON is the type of all bodies that are sent.
const contentJSON = "application/json; charset=utf-8"

// request is one POST.
type request struct {
	where  *url.URL
	header http.Header // may be nil
	body   []byte
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte // at most maxAnswer bytes
	whole  bool   // body is all of it
}

// post sends a request and returns the answer, of whatever status. Its errors
// have no secret, and of the URL the scheme and the host at most.
//
// A connection serves one request: notices are few, and one that is lost on a
// connection which the peer has just given up could not be told from one that
// was taken. The proxies of the environment are not used, and no redirect is
// followed: it could carry the secret to somebody else.
func (v *values) post(ctx context.Context, r request) (*answer, error) {
	config, err := v.tlsConfig()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, deliveryTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.where.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, v.fault(r.where, errors.New("the request cannot be made: check the url"))
	}
	if r.header != nil {
		req.Header = r.header
	}
	req.Header.Set("Content-Type", contentJSON)
	req.Header.Set("User-Agent", "dtc")
	if user := r.where.User; user != nil && req.Header.Get("Authorization") == "" {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	}
	transport := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    connectTime,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}
	resp, err := transport.RoundTrip(req) // no http.Client: it follows redirects, and words errors with the URL
	if err != nil {
		return nil, v.fault(r.where, inWords(err))
	}
	defer resp.Body.Close()
	// What was read before a fault is enough of a body: the status has been said.
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	a := &answer{status: resp.StatusCode, header: resp.Header, body: body, whole: err == nil && len(body) <= maxAnswer}
	a.body = a.body[:min(len(a.body), maxAnswer)]
	return a, nil
}

// tlsConfig returns how to speak TLS: with the system's authorities, or with
// those of the setting "ca" alone, a file of PEM certificates.
func (v *values) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	file, err := v.get("ca")
	if err != nil || file == "" {
		return config, err
	}
	data := []byte(file)
	if !strings.HasPrefix(file, "-----BEGIN") { // as it does with "file="
		if data, err = readValueFile(v.settings.path(file)); err != nil {
			return nil, errors.New(v.oneLine("read ca: " + err.Error()))
		}
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(data) {
		return nil, errors.New("read ca: the file has no certificate in PEM")
	}
	return config, nil
}

// fault returns an error of a delivery to a place, as one line without any
// secret. It wraps nothing: what it would wrap may say more.
func (v *values) fault(where *url.URL, err error) error {
	return errors.New(v.oneLine("post to " + where.Scheme + "://" + where.Host + ": " + err.Error()))
}

// refusal returns what an answer's status says: nil if it is one of success.
func (v *values) refusal(where *url.URL, a *answer) error {
	if a.status >= 200 && a.status < 300 {
		return nil
	}
	if a.status >= 300 && a.status < 400 {
		return v.fault(where, errors.New(redirected(where, a)))
	}
	err := v.fault(where, fmt.Errorf("it answered %d %s%s", a.status, http.StatusText(a.status), v.snippet(a.body)))
	switch a.status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if after, ok := retryAfter(a.header.Get("Retry-After"), v.settings.now()); ok {
			return later(err, after)
		}
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return &Refused{Err: err}
	}
	return err
}

// redirected says where a redirect leads to, without the path: it may hold the
// secret.
func redirected(where *url.URL, a *answer) string {
	target, err := where.Parse(a.header.Get("Location"))
	if err != nil || target.Host == "" {
		return "it redirects, which is not followed: give the url that takes the notice itself"
	}
	return "it redirects to " + target.Scheme + "://" + target.Host + ", which is not followed: give the url that takes the notice itself"
}

// later returns an error that asks to be left alone for a time, within bounds.
func later(err error, after time.Duration) error {
	return &Later{Err: err, After: min(max(after, time.Second), maxLater)}
}

// retryAfter reads a Retry-After header (RFC 9110, 10.2.3): seconds, or a date.
func retryAfter(value string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return at.Sub(now), true
}

// parseURL reads the URL of a receiver. All of it but the scheme and the host is
// taken as secret: the path and the query of most receivers are their password.
func (v *values) parseURL(text string) (*url.URL, error) {
	where, err := url.Parse(text)
	if err != nil || where.Host == "" || where.Scheme != "http" && where.Scheme != "https" {
		return nil, errors.New("the url is none: it is to be http://… or https://…")
	}
	if where.Scheme+"://"+where.Host != strings.TrimSuffix(text, "/") {
		v.hide(text)
	}
	where.Fragment, where.RawFragment = "", ""
	if where.User != nil {
		password, ok := where.User.Password()
		v.hide(password)
		v.hide(where.User.String())
		v.hide(where.User.Username() + ":" + password) // of which Basic sends the base64
		if !ok {                                       // a name alone is a token
			v.hide(where.User.Username())
		}
	}
	if len(where.Path) > 1 {
		v.hide(where.Path)
		v.hide(where.RequestURI())
	}
	for part := range strings.SplitSeq(where.Path, "/") {
		if len(part) >= shortSecret {
			v.hide(part)
		}
	}
	for _, list := range where.Query() {
		for _, value := range list {
			if len(value) >= shortValue {
				v.hide(value)
			}
		}
	}
	return where, nil
}

// How long a part of a path, and a value of a query, is at least to be a secret
// by itself. Errors without "v1" and "1" would be hard to read.
const (
	shortSecret = 9
	shortValue  = 4
)

// getURL returns the URL of the settings.
func (v *values) getURL() (*url.URL, error) {
	text, err := v.get("url")
	if err != nil {
		return nil, err
	}
	return v.parseURL(text)
}

// checkURL finds a mistake in a URL that stands in the configuration itself.
func checkURL(s Settings) error {
	text := s.literal("url")
	if text == "" {
		return nil
	}
	_, err := s.read().parseURL(text)
	return err
}

// encodeJSON returns a value as JSON in which only what must be is escaped.
func encodeJSON(value any) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil // what this package encodes cannot fail
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
