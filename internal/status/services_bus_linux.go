package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

const (
	// busWindow is how many calls wait for their answers at once. A bus allows
	// a connection 128 by default.
	busWindow = 64

	maxAuthLine = 512 // bytes of a line before the messages begin
)

// bus is a connection to systemd itself or to the system's D-Bus.
type bus struct {
	name   string // the socket, for messages
	conn   net.Conn
	in     *bufio.Reader
	buf    bytes.Buffer // holds the message that was read last
	serial uint32       // of the call that was sent last
	stop   func() bool  // no longer close at the end of the context
}

// systemd connects to systemd: to its own socket, which is for root, or else to
// the system's bus. The connection ends with ctx.
func (h *host) systemd(ctx context.Context) (*bus, error) {
	own := h.path("run/systemd/private")
	b, err := dialBus(ctx, own)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	shared := h.path("run/dbus/system_bus_socket")
	b, err2 := dialBus(ctx, shared)
	if err2 != nil {
		return nil, fmt.Errorf("%w; %w; run the agent as root, or run D-Bus", err, err2)
	}
	hello := busCall{
		destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", face: "org.freedesktop.DBus", method: "Hello",
	}
	if err := b.call(&hello, "s", func(*busValues) {}); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// dialBus connects to a socket and says who asks.
func dialBus(ctx context.Context, path string) (*bus, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	b := &bus{name: path, conn: conn, in: bufio.NewReader(conn)}
	b.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := b.authenticate(); err != nil {
		b.close()
		return nil, fmt.Errorf("connect to systemd: %s: %w", path, err)
	}
	return b, nil
}

func (b *bus) close() {
	b.stop()
	_ = b.conn.Close()
}

// authenticate has the socket's other end ask the kernel who this is: the
// mechanism EXTERNAL, with the user's number in decimal, that in hexadecimal.
// BEGIN goes along with it: systemd leaves a message lie that it reads together
// with a BEGIN, until another one comes.
func (b *bus) authenticate() error {
	user := hex.EncodeToString([]byte(strconv.Itoa(os.Geteuid())))
	if _, err := io.WriteString(b.conn, "\x00AUTH EXTERNAL "+user+"\r\nBEGIN\r\n"); err != nil {
		return err
	}
	answer, err := b.line()
	if err != nil {
		return err
	}
	if word, _, _ := strings.Cut(answer, " "); word != "OK" {
		return fmt.Errorf("it does not let this user in: %.80q", answer)
	}
	return nil
}

// line reads a line of the conversation before the first message.
func (b *bus) line() (string, error) {
	var line []byte
	for len(line) < maxAuthLine {
		c, err := b.in.ReadByte()
		if err != nil {
			return "", err
		}
		if line = append(line, c); c == '\n' {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
	}
	return "", errBusMessage
}

// call makes one call; see calls.
func (b *bus) call(c *busCall, signature string, answer func(*busValues)) error {
	var failed error
	err := b.calls([]busCall{*c}, func(_ int, m *busMessage) {
		values, err := m.values(signature)
		if err == nil {
			answer(values)
			if values.broken {
				err = errBusMessage
			}
		}
		failed = err
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("ask systemd at %s: %s: %w", b.name, c.method, err)
	}
	return nil
}

// calls makes calls and gives each answer, as they come, with the index of its
// call. Some calls are on their way at the same time. The message is valid
// only until answer returns.
func (b *bus) calls(calls []busCall, answer func(i int, m *busMessage)) error {
	for done := 0; done < len(calls); {
		now := calls[done:min(done+busWindow, len(calls))]
		if err := b.exchange(now, func(i int, m *busMessage) { answer(done+i, m) }); err != nil {
			return err
		}
		done += len(now)
	}
	return nil
}

// exchange sends calls and reads until each is answered.
func (b *bus) exchange(calls []busCall, answer func(i int, m *busMessage)) error {
	first := b.serial + 1
	var out []byte
	for i := range calls {
		b.serial++
		out = append(out, calls[i].message(b.serial)...)
	}
	if _, err := b.conn.Write(out); err != nil {
		return err
	}
	var answered [busWindow]bool
	for waiting := len(calls); waiting > 0; {
		m, err := readBusMessage(b.in, &b.buf)
		if err != nil {
			return err
		}
		i := int64(m.replyTo) - int64(first)
		if m.kind != busReplyKind && m.kind != busErrorKind || i < 0 || i >= int64(len(calls)) || answered[i] {
			continue // a signal, or the answer to nothing that was asked
		}
		answered[i] = true
		waiting--
		answer(int(i), &m)
	}
	return nil
}
