package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestTaken(t *testing.T) {
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			p := newHTTPPeer(t, nil, says(http.StatusOK, way.ok))
			must(t, sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(p.URL)), aNotice()))
			got := p.requests()
			if len(got) != 1 || got[0].method != http.MethodPost || got[0].header.Get("Content-Type") != contentJSON || len(got[0].body) == 0 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// What a status means is the same for all.
func TestStatuses(t *testing.T) {
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			for _, c := range []struct {
				status  int
				body    string
				after   string
				later   time.Duration
				refused bool
			}{
				{status: 400, body: way.denied, refused: true},
				{status: 413, body: "no", refused: true},
				{status: 422, body: "no", refused: true},
				{status: 401, body: "no"},
				{status: 404, body: "no"},
				{status: 500, body: "no"},
				{status: 502},
				{status: 429, body: "no"},
				{status: 429, body: "no", after: "7", later: 7 * time.Second},
				{status: 429, body: "no", after: "0", later: time.Second},
				{status: 429, body: "no", after: "4000000000", later: maxLater},
				{status: 429, body: "no", after: "99999999999999999999"},
				{status: 503, body: "no", after: testNow().Add(90*time.Second + 876543211).Format(http.TimeFormat), later: 91 * time.Second},
				{status: 503, body: "no", after: "soon"},
				{status: 500, body: "no", after: "7"},
			} {
				p := newHTTPPeer(t, nil, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", c.after)
					says(c.status, c.body)(w, r)
				})
				err := sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(p.URL)), aNotice())
				checkError(t, err, way.secrets...)
				var refused *Refused
				var later *Later
				switch {
				case err == nil:
				case errors.As(err, &refused) != c.refused:
					t.Errorf("%d: refused is not %v: %v", c.status, c.refused, err)
				case errors.As(err, &later) != (c.later != 0):
					t.Errorf("%d, %q: later is not %v: %v", c.status, c.after, c.later, err)
				case later != nil && (later.After > c.later || later.After < c.later-time.Second):
					t.Errorf("%d, %q: later %v, want %v", c.status, c.after, later.After, c.later)
				case !strings.Contains(err.Error(), fmt.Sprint(c.status)) && !strings.Contains(err.Error(), "answer"):
					t.Errorf("%d: %v", c.status, err)
				}
				if n := len(p.requests()); n != 1 {
					t.Errorf("%d: %d requests", c.status, n)
				}
			}
		})
	}
}

// A redirect is not followed: who is meant by it would get the secret.
func TestRedirect(t *testing.T) {
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			other := newHTTPPeer(t, nil, says(http.StatusOK, way.ok))
			for _, status := range []int{301, 302, 303, 307, 308} {
				for _, target := range []string{other.URL + "/?" + url.QueryEscape(way.secrets[0]), "//" + way.secrets[0], "//" + way.secrets[0] + "\u2028/", "http://[" + way.secrets[0], ""} {
					p := newHTTPPeer(t, nil, func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Location", target)
						w.WriteHeader(status)
					})
					err := sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(p.URL)), aNotice())
					checkError(t, err, way.secrets...)
					if err != nil && (!strings.Contains(err.Error(), "redirects") || strings.HasPrefix(target, other.URL) && !strings.Contains(err.Error(), other.URL)) {
						t.Errorf("%d to %s: %v", status, target, err)
					}
				}
			}
			if n := len(other.requests()); n != 0 {
				t.Errorf("a redirect was followed %d times", n)
			}
		})
	}
}

// A peer that sends back all it got learns nothing that an error then tells.
func TestEcho(t *testing.T) {
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			for _, status := range []int{200, 400, 403, 429, 500} {
				p := newHTTPPeer(t, nil, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Retry-After", r.RequestURI)
					w.WriteHeader(status)
					fmt.Fprintf(w, "\x1b[31m%s\r\n%s %v ", r.URL, r.RequestURI, r.Header)
					for _, secret := range way.secrets {
						fmt.Fprintf(w, "%s %s %q ", secret, url.QueryEscape(secret), secret)
					}
				})
				err := sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(p.URL)), aNotice())
				if status != http.StatusOK || way.ok != "" {
					checkError(t, err, way.secrets...)
				}
			}
			for _, format := range []string{
				`{"errcode":310000,"errmsg":%[1]q}`, `{"code":19021,"msg":%[1]q}`, `{"ok":false,"error_code":400,"description":%[1]q}`,
			} {
				p := newHTTPPeer(t, nil, func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusForbidden)
					fmt.Fprintf(w, format, strings.Join(way.secrets, "\n")+r.RequestURI)
				})
				checkError(t, sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(p.URL)), aNotice()), way.secrets...)
			}
		})
	}
}

// A peer that never answers costs the time that ctx gives, and no more.
func TestHang(t *testing.T) {
	t.Parallel()
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			for name, hang := range map[string]func(http.ResponseWriter){
				"before the header": func(http.ResponseWriter) {},
				"in the body": func(w http.ResponseWriter) {
					w.WriteHeader(http.StatusBadGateway)
					_, _ = io.WriteString(w, "wait")
					w.(http.Flusher).Flush()
				},
			} {
				p := newHTTPPeer(t, nil, func(w http.ResponseWriter, r *http.Request) {
					hang(w)
					<-r.Context().Done() // the sender hangs up
				})
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				start := time.Now()
				err := testSender(t, way.kind, t.TempDir(), way.settings(p.URL)).Send(ctx, aNotice())
				cancel()
				checkError(t, err, way.secrets...)
				if d := time.Since(start); d > 10*time.Second {
					t.Errorf("%s: it took %v", name, d)
				}
			}
		})
	}
}

// rawPeer listens, and does with each connection what a function does. The
// function gets the request's first line.
func rawPeer(t *testing.T, serve func(c net.Conn, first string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(20 * time.Second))
			first, _ := bufio.NewReader(c).ReadString('\n')
			serve(c, first)
			c.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	return "http://" + l.Addr().String()
}

// Answers that are none, and that do not end.
func TestBrokenAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(c net.Conn, first string)
		taken bool // by those that look at the status alone
	}{
		"nothing":     {serve: func(net.Conn, string) {}},
		"the request": {serve: func(c net.Conn, first string) { _, _ = io.WriteString(c, first) }},
		"noise":       {serve: func(c net.Conn, _ string) { _, _ = io.WriteString(c, "\x00\xff\x1b[2J\r\n\r\n") }},
		"half a line": {serve: func(c net.Conn, _ string) { _, _ = io.WriteString(c, "HTTP/1.1 20") }},
		"half an ok": {serve: func(c net.Conn, _ string) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{\"er")
		}, taken: true},
		"half a no": {serve: func(c net.Conn, _ string) {
			_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 900\r\n\r\nsor")
		}},
		"endless head": {serve: func(c net.Conn, _ string) {
			endless(c, "HTTP/1.1 500 No\r\n", "X-A: "+strings.Repeat("a", 1000)+"\r\n")
		}},
		"endless body": {serve: func(c net.Conn, _ string) { endless(c, "HTTP/1.1 500 No\r\n\r\n", strings.Repeat("b", 1000)) }},
		"endless ok":   {serve: func(c net.Conn, _ string) { endless(c, "HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("{", 1000)) }, taken: true},
		"bomb": {serve: func(c net.Conn, _ string) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
		}, taken: true},
	} {
		t.Run(name, func(t *testing.T) {
			for _, way := range wayPosts() {
				t.Run(way.kind, func(t *testing.T) {
					base := rawPeer(t, c.serve)
					err := sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(base)), aNotice())
					if c.taken && way.ok == "" {
						must(t, err)
						return
					}
					checkError(t, err, way.secrets...)
				})
			}
		})
	}
}

// endless writes a beginning and then always the same, until nobody reads on.
func endless(c net.Conn, begin, again string) {
	_, err := io.WriteString(c, begin)
	for err == nil {
		_, err = io.WriteString(c, again)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	base := "http://" + l.Addr().String()
	l.Close()
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			err := sendTo(t, testSender(t, way.kind, t.TempDir(), way.settings(base)), aNotice())
			checkError(t, err, way.secrets...)
			if err != nil && !strings.Contains(err.Error(), "connect") {
				t.Error(err)
			}
		})
	}
}

// Only a certificate of the right authority is accepted: of the system's, or of
// the one in ca.
func TestAuthorities(t *testing.T) {
	leaf, ca := authority(t)
	_, otherCA := authority(t)
	home := t.TempDir()
	must(t, os.WriteFile(filepath.Join(home, "ca.pem"), ca, 0o644))
	must(t, os.WriteFile(filepath.Join(home, "other.pem"), otherCA, 0o644))
	must(t, os.WriteFile(filepath.Join(home, "none.pem"), []byte("nothing"), 0o644))
	for _, way := range wayPosts() {
		t.Run(way.kind, func(t *testing.T) {
			p := newHTTPPeer(t, leaf, says(http.StatusOK, way.ok))
			for file, want := range map[string]string{
				"": "as ca", "other.pem": "as ca", "none.pem": "no certificate in PEM", "gone.pem": "read ca: ",
				"ca.pem": "", "file=ca.pem": "",
			} {
				values := way.settings(p.URL)
				if file != "" {
					values["ca"] = file
				}
				before := len(p.requests())
				err := sendTo(t, testSender(t, way.kind, home, values), aNotice())
				if want == "" {
					must(t, err)
					continue
				}
				checkError(t, err, way.secrets...)
				if err != nil && !strings.Contains(err.Error(), want) || len(p.requests()) != before {
					t.Errorf("with %q: %v, want %s", file, err, want)
				}
			}
			// A certificate for another name.
			name := strings.Replace(p.URL, "127.0.0.1", "localhost", 1)
			values := way.settings(name)
			values["ca"] = "ca.pem"
			checkError(t, sendTo(t, testSender(t, way.kind, home, values), aNotice()), way.secrets...)
			// A server that does not speak TLS at all.
			plain := newHTTPPeer(t, nil, says(http.StatusOK, way.ok))
			values = way.settings(strings.Replace(plain.URL, "http:", "https:", 1))
			checkError(t, sendTo(t, testSender(t, way.kind, home, values), aNotice()), way.secrets...)
		})
	}
}

// The environment does not say where secrets are sent.
func TestNoProxy(t *testing.T) {
	proxy := newHTTPPeer(t, nil, says(http.StatusOK, ""))
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	// Loopback addresses are never proxied: an address of documentation is none.
	err := testSender(t, "webhook", "", map[string]string{"url": "http://192.0.2.1:1/"}).Send(ctx, aNotice())
	if err == nil || len(proxy.requests()) != 0 {
		t.Errorf("the proxy was asked: %v", err)
	}
}
