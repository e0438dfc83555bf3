package wire

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dtc"
)

// against returns a client of an agent that does what it likes.
func against(t *testing.T, handler http.HandlerFunc) *Client {
	t.Helper()
	q := newConnQueue()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: handler, Protocols: &protocols}
	ended := make(chan error)
	go func() { ended <- s.Serve(q) }()
	c := NewClient(func(ctx context.Context) (net.Conn, error) {
		mine, its := net.Pipe()
		select {
		case q.conns <- its:
			return mine, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	t.Cleanup(func() {
		c.Close()
		s.Close()
		<-ended
	})
	return c
}

func stream(parts ...[]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/connect+proto")
		for _, part := range parts {
			w.Write(part)
		}
	}
}

func envelope(flags byte, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{flags}, uint32(len(b))), b...)
}

func unary(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(body)
	}
}

func TestHostileAgents(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	io.CopyN(z, zeros{}, 64<<20)
	z.Close()
	endless := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/proto")
		io.Copy(w, zeros{})
	}
	tests := map[string]http.HandlerFunc{
		"random":           unary("application/proto", bytes.Repeat([]byte{0xff}, 100)),
		"another type":     unary("text/html", []byte("<html>")),
		"no answer":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"endless answer":   endless,
		"JSON":             unary("application/json", []byte(`{}`)),
		"a stream's frame": stream([]byte{0, 0xff, 0xff, 0xff, 0xff, 1}),
		"cut frame":        stream([]byte{0, 0, 0, 0, 9, 1}),
		"no end":           stream(envelope(0, &PartMessage{Partial: true})),
		"unknown flags":    stream(envelope(0x80, &PartMessage{})),
		"compressed": func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Content-Type", req.Header.Get("Content-Type"))
			w.Header().Set("Content-Encoding", "gzip")
			w.Header().Set("Connect-Content-Encoding", "gzip")
			w.Write(bomb.Bytes())
		},
		"columns of two lengths": stream(envelope(0, &PartMessage{Process: &ProcessColumns{Pid: []int64{1, 2}, Ppid: []int64{1}}})),
		"too many items":         stream(envelope(0, &PartMessage{Process: &ProcessColumns{Pid: make([]int64, maxRows+1)}})),
		"a long error": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusInternalServerError)
			io.WriteString(w, `{"code":"unknown","message":"`+strings.Repeat("\\u001b]0;", 100_000)+`"}`)
		},
		"long headers": func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				w.Header().Add("X", strings.Repeat("x", 10<<10))
			}
		},
		"endless early hints": func(w http.ResponseWriter, req *http.Request) {
			for req.Context().Err() == nil {
				w.WriteHeader(http.StatusEarlyHints)
			}
		},
		"redirect": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "http://127.0.0.1:1/", http.StatusFound)
		},
	}
	for name, handler := range tests {
		t.Run(name, func(t *testing.T) {
			c := against(t, handler)
			_, infoErr := c.Info(within(t, 2*time.Second))
			getErr := c.Get(within(t, 2*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error { return nil })
			for _, err := range []error{infoErr, getErr} {
				if !isError(err) || len(err.Error()) > 2*maxNote || strings.ContainsAny(err.Error(), "\x1b\n") {
					t.Errorf("err = %T %.200q", err, err)
				}
			}
			t.Logf("%s: %s", dtc.KindOf(infoErr), infoErr)
			t.Logf("%s: %s", dtc.KindOf(getErr), getErr)
		})
	}
}

// What an agent can make the client hold has a bound, however much it sends.
func TestHostileAgentFillsNoMemory(t *testing.T) {
	part := envelope(0, &PartMessage{Partial: true, Process: &ProcessColumns{
		Pid: make([]int64, 1000), Command: &TextColumn{Data: make([]byte, 1<<20), Length: append([]uint32{1 << 20}, make([]uint32, 999)...)},
	}})
	sent := 0
	c := against(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "application/connect+proto")
		for req.Context().Err() == nil {
			if _, err := w.Write(part); err != nil {
				return
			}
			sent++
		}
	})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err := c.Get(within(t, 60*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error { return nil })
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("Get = %v after %d MiB", err, sent)
	}
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d MiB are held", grown>>20)
	}
}

// A reader that is slow, or does not read at all, holds up nobody else.
func TestSlowReader(t *testing.T) {
	var emitted int
	r := serve(t, &Server{Agent: &fakeAgent{get: func(_ context.Context, _ dtc.Query, emit func(*dtc.Report) error) error {
		all := processes(1000)
		for range 100 {
			if err := emit(&dtc.Report{Process: all, Partial: true}); err != nil {
				return err
			}
			emitted++
		}
		return emit(&dtc.Report{})
	}}})
	c := r.client(t, r.monitor)
	stopped, reading := make(chan struct{}), make(chan struct{})
	ended := make(chan error)
	go func() {
		parts := 0
		err := c.Get(within(t, 30*time.Second), dtc.Query{Status: dtc.StatusProcess}, func(*dtc.Report) error {
			if parts++; parts == 1 {
				close(reading)
				<-stopped
			}
			return nil
		})
		if parts != 101 {
			err = errors.Join(err, errors.New("parts are missing"))
		}
		ended <- err
	}()
	<-reading
	for range 100 {
		if _, err := c.Info(within(t, 5*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	close(stopped)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
