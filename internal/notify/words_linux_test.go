package notify

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtc"
)

// answering returns the address of a server that says this to whoever connects.
func answering(t *testing.T, text string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<16))
			_, _ = io.WriteString(conn, text)
			conn.Close()
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

func TestErrorsAreInWords(t *testing.T) {
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	free, odd, ssh := freePort(t), answering(t, "HTTP/1.1 abc\r\n\r\n"), answering(t, "SSH-2.0-OpenSSH_9.2\r\n")
	gone := filepath.Join(t.TempDir(), "log")
	for _, c := range []struct{ kind, key, value, want string }{
		{"webhook", "url", "http://" + free, "post to http://" + free + ": connection refused: nobody listens there"},
		{"webhook", "url", "http://" + odd, "post to http://" + odd + ": the answer is no HTTP: check the port"},
		{"webhook", "url", "http://" + ssh, "post to http://" + ssh + ": the answer is no HTTP: check the port"},
		{"webhook", "url", "https://" + ssh, "post to https://" + ssh + ": the answer is no TLS: check the port"},
		{"webhook", "url", "http://name.invalid", "post to http://name.invalid: "},
		{"webhook", "url", secure.URL, "post to " + secure.URL + ": its certificate is not accepted: its authority is not known here: give the certificate of that as ca"},
		{"webhook", "url", strings.Replace(plain.URL, "http:", "https:", 1), "post to " + strings.Replace(plain.URL, "http:", "https:", 1) + ": it speaks HTTP without TLS there: check the port, or make the url http://"},
		{"syslog", "server", "tcp://" + free, "syslog to tcp://" + free + ": connection refused: nobody listens there"},
		{"syslog", "server", "unix://" + gone, "syslog to unix://" + gone + ": there is no such socket"},
	} {
		s, err := NewSender(c.kind, Settings{Values: map[string]string{c.key: c.value}})
		must(t, err)
		err = s.Send(t.Context(), &Notice{ID: "id", Kind: Test, Time: time.Now(), Title: "test", Events: []dtc.Event{deadPID(1, 7)}})
		switch text := fmt.Sprint(err); {
		case strings.HasSuffix(c.want, ": "):
			if !strings.HasPrefix(text, c.want) || strings.Contains(text, "lookup") || strings.Contains(text, "dial") {
				t.Errorf("%s: %s", c.value, text)
			}
		case text != c.want:
			t.Errorf("%s:\n\t%s\nwant\n\t%s", c.value, text, c.want)
		}
	}
}

func TestTelegramTokenIsNone(t *testing.T) {
	for _, token := range []string{"1/2:secret", "12:secret?x", "12:se#cret", "12:se cret"} {
		_, err := NewSender("telegram", Settings{Values: map[string]string{"token": token, "chat": "1"}})
		if err == nil || strings.Contains(err.Error(), "cret") {
			t.Errorf("%q: %v", token, err)
		}
	}
}
