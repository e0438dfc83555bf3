package notify

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"go.uber.org/goleak"

	"dtc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testNow is the clock of senders under test.
func testNow() time.Time { return time.Date(2026, 11, 22, 7, 15, 1, 123456789, time.UTC) }

// wayPosts are the ways that POST to a URL, each with settings that have secrets
// wherever it may have them.
type wayPost struct {
	kind     string
	settings func(base string) map[string]string
	secrets  []string
	ok       string // the answer of success
	denied   string // the body of a 400 that is for good
}

const testToken = "hQ7-zXv3kP9wT2mB"

func wayPosts() []wayPost {
	return []wayPost{
		{
			kind: "webhook", ok: "", denied: "no", secrets: []string{testToken, "s3cr3t&<\"key", "Bearer abc.def.ghi"},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base + "/hook/" + testToken, "secret": "s3cr3t&<\"key", "authorization": "Bearer abc.def.ghi"}
			},
		},
		{
			kind: "slack", ok: "ok", denied: "invalid_payload", secrets: []string{testToken, "T0123456789"},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base + "/services/T0123456789/" + testToken}
			},
		},
		{
			kind: "dingtalk", ok: `{"errcode":0,"errmsg":"ok"}`, denied: "no", secrets: []string{testToken, "SEC&+%=0123/9"},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base + "/robot/send?access_token=" + testToken, "secret": "SEC&+%=0123/9", "at": "13800001111, 13900002222"}
			},
		},
		{
			kind: "feishu", ok: `{"code":0,"msg":"success","data":{}}`, denied: "no", secrets: []string{testToken, "fs\\\"s3cret"},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base + "/open-apis/bot/v2/hook/" + testToken, "secret": "fs\\\"s3cret"}
			},
		},
		{
			kind: "wecom", ok: `{"errcode":0,"errmsg":"ok"}`, denied: "no", secrets: []string{testToken},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base + "/cgi-bin/webhook/send?key=" + testToken}
			},
		},
		{
			kind: "telegram", ok: `{"ok":true,"result":{"message_id":1}}`, denied: "no", secrets: []string{"110201543:AAHdqTcvCH1vGWJx"},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base, "token": "110201543:AAHdqTcvCH1vGWJx", "chat": "-100123"}
			},
		},
		{
			kind: "alertmanager", ok: "", denied: "no", secrets: []string{"p@ss:word", base64.StdEncoding.EncodeToString([]byte("ops:p@ss:word"))},
			settings: func(base string) map[string]string {
				return map[string]string{"url": base, "user": "ops", "password": "p@ss:word"}
			},
		},
	}
}

// gotRequest is one request that a server got.
type gotRequest struct {
	method string
	url    *url.URL
	header http.Header
	body   []byte
}

// peer is a real server on the loopback interface.
type httpPeer struct {
	*httptest.Server
	mu    sync.Mutex
	taken []gotRequest
}

// requests returns what it got.
func (p *httpPeer) requests() []gotRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.taken)
}

// newPeer starts a server that answers by a function; with a certificate if
// there is one. When the test ends, answers that hang end too.
func newHTTPPeer(tb testing.TB, certificate *tls.Certificate, answer http.HandlerFunc) *httpPeer {
	tb.Helper()
	p := &httpPeer{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			tb.Errorf("read a request: %v", err)
		}
		p.mu.Lock()
		p.taken = append(p.taken, gotRequest{method: r.Method, url: r.URL, header: r.Header, body: body})
		p.mu.Unlock()
		answer(w, r)
	}))
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	if certificate == nil {
		p.Start()
	} else {
		p.TLS = &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12}
		p.StartTLS()
	}
	tb.Cleanup(p.Close)
	return p
}

// says answers with a status and a body.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// authority makes a CA and a certificate of it for 127.0.0.1, and returns the
// latter and the CA's in PEM.
func authority(tb testing.TB) (leaf *tls.Certificate, ca []byte) {
	tb.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(tb, err)
		return k
	}
	caKey, leafKey := key(), key()
	template := func(name string) *x509.Certificate {
		serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
		must(tb, err)
		return &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	root := template("test CA")
	root.IsCA, root.BasicConstraintsValid, root.KeyUsage = true, true, x509.KeyUsageCertSign
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, &caKey.PublicKey, caKey)
	must(tb, err)
	server := template("receiver")
	server.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leafDER, err := x509.CreateCertificate(rand.Reader, server, root, &leafKey.PublicKey, caKey)
	must(tb, err)
	return &tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// testSender makes a sender, by the clock of testNow.
func testSender(tb testing.TB, kind, home string, values map[string]string) Sender {
	tb.Helper()
	s, err := NewSender(kind, Settings{Home: home, Values: values, Now: testNow})
	must(tb, err)
	return s
}

// aNotice is a problem of two events, one of them with a hostile name.
func aNotice() *Notice {
	return &Notice{
		ID: "n-1", Receiver: "ops", Kind: Problem, Time: testNow(), Title: "web1: nginx[812] dead: signal 9",
		Events: []dtc.Event{
			{
				ID: "7f3a-102", Time: testNow(), Host: "web1", Address: "10.0.0.7:7701", Kind: dtc.EventProcess,
				State: dtc.StateDead, PID: 812, Name: "nginx", Exit: &dtc.Exit{Kind: dtc.ExitSignal, Number: 9}, Lived: time.Hour,
			},
			{
				ID: "7f3a-103", Time: testNow(), Host: "web1", Address: "10.0.0.7:7701", Kind: dtc.EventProcess,
				State: dtc.StateDead, PID: 813, Name: hostileName, Exit: &dtc.Exit{}, Lived: time.Hour,
			},
		},
	}
}

// hostileName is what a process may call itself.
const hostileName = "<!channel> @all <@U1> [x](http://evil.example/) `*_& <at user_id=\"all\"></at> \x1b[2J\u202e\xff\n```"

// sendTo sends a notice within a bounded time.
func sendTo(tb testing.TB, s Sender, n *Notice) error {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 30*time.Second)
	defer cancel()
	return s.Send(ctx, n)
}

// checkError finds what no error of a sender may have: a secret in any form, a
// second line, a control character, no end.
func checkError(tb testing.TB, err error, secrets ...string) {
	tb.Helper()
	if err == nil {
		tb.Error("no error")
		return
	}
	text := err.Error()
	for _, s := range secrets {
		for _, form := range []string{
			s, url.QueryEscape(s), url.PathEscape(s), base64.StdEncoding.EncodeToString([]byte(s)),
			strings.Trim(string(encodeJSON(s)), `"`),
		} {
			if strings.Contains(text, form) {
				tb.Errorf("the error has the secret %q: %s", s, text)
			}
		}
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		tb.Errorf("the error has a control character: %q", text)
	}
	if len([]rune(text)) > maxError {
		tb.Errorf("the error has %d characters: %s", len(text), text)
	}
}

func TestNewSender(t *testing.T) {
	for _, c := range []struct {
		kind   string
		values map[string]string
		want   string
	}{
		{"pager", nil, "no such way to tell someone"},
		{"webhook", nil, "it needs url"},
		{"webhook", map[string]string{"url": "ftp://x/"}, "http://… or https://…"},
		{"webhook", map[string]string{"url": "http://%zz" + testToken}, "http://… or https://…"},
		{"webhook", map[string]string{"url": "http://x/", "at": "1"}, "it has no at"},
		{"telegram", map[string]string{"token": testToken}, "it needs chat"},
		{"telegram", map[string]string{"at": testToken}, "it needs token; it needs chat; it has no at"},
		{"alertmanager", map[string]string{"url": testToken}, "http://… or https://…"},
	} {
		_, err := NewSender(c.kind, Settings{Values: c.values})
		checkError(t, err, testToken)
		if err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %v: %v, want %s", c.kind, c.values, err, c.want)
		}
		if c.kind == "pager" && !errors.Is(err, errKind) {
			t.Errorf("%v is no errKind", err)
		}
	}
}

// In a file, each value is read when it is used: the file may come later, and
// change.
func TestValuesInFiles(t *testing.T) {
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			p := newHTTPPeer(t, nil, says(http.StatusOK, way.ok))
			home, values := t.TempDir(), map[string]string{}
			given := way.settings(p.URL)
			for name := range given {
				values[name] = "file=" + name + ".key"
			}
			s := testSender(t, way.kind, home, values)
			err := sendTo(t, s, aNotice())
			checkError(t, err, way.secrets...)
			if !strings.Contains(err.Error(), home) || len(p.requests()) != 0 {
				t.Errorf("without files: %v", err)
			}
			for name, value := range given {
				must(t, os.WriteFile(filepath.Join(home, name+".key"), []byte(value+" \r\n\n"), 0o600))
			}
			must(t, sendTo(t, s, aNotice()))
			direct := testSender(t, way.kind, home, given)
			must(t, sendTo(t, direct, aNotice()))
			got := p.requests()
			if len(got) != 2 || got[0].url.String() != got[1].url.String() || string(got[0].body) != string(got[1].body) {
				t.Errorf("from files came another request:\n%+v", got)
			}
			// What came out of a file is a secret, whatever its name.
			p.Config.Handler = says(http.StatusInternalServerError, strings.Join(slices.Collect(mapsValues(given)), " | "))
			checkError(t, sendTo(t, s, aNotice()), slices.Collect(mapsValues(given))...)
		})
	}
}

func mapsValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func TestReadValueFile(t *testing.T) {
	home := t.TempDir()
	for name, text := range map[string]string{
		"fits": strings.Repeat("a", maxValueFile), "big": strings.Repeat("b", maxValueFile+1), "blank": " \n\t\r\n", "two": "  x y\nz\n",
	} {
		must(t, os.WriteFile(filepath.Join(home, name), []byte(text), 0o600))
	}
	for name, want := range map[string]string{
		"big": "more than 65536 bytes", "blank": "empty", ".": "", "none": "", "no\x1bne\u202e": `no\x1bne\u202e`,
	} {
		v := Settings{Home: home, Values: map[string]string{"secret": "file=" + name}}.read()
		_, err := v.secret("secret")
		checkError(t, err, "bbbb")
		if err != nil && (!strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), home)) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	s := Settings{Home: "/nowhere", Values: map[string]string{
		"secret": "file=" + filepath.Join(home, "two"), "url": "file=" + filepath.Join(home, "fits"),
	}}
	if got, err := s.read().secret("secret"); err != nil || got != "  x y\nz" {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := s.read().get("url"); err != nil || len(got) != maxValueFile {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
