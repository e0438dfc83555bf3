// Package dbus asks systemd: as much of D-Bus as a question to it needs, and no
// more. What comes is bounded and believed only as far as it is whole.
package dbus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Window is how many calls wait for their answers at once. A bus allows a
// connection 128 by default.
const Window = 64

const maxAuthLine = 512 // bytes of a line before the messages begin

// Conn is a connection to systemd itself or to the system's D-Bus.
type Conn struct {
	name   string // the socket, for messages
	conn   net.Conn
	in     *bufio.Reader
	buf    bytes.Buffer // holds the message that was read last
	serial uint32       // of the call that was sent last
	stop   func() bool  // no longer close at the end of the context
}

// Systemd connects to the systemd of the machine whose root folder is given: to
// its own socket, which is for root, or else to the system's bus. The connection
// ends with ctx.
func Systemd(ctx context.Context, root string) (*Conn, error) {
	own := filepath.Join(root, "run/systemd/private")
	b, err := dial(ctx, own)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	shared := filepath.Join(root, "run/dbus/system_bus_socket")
	b, err2 := dial(ctx, shared)
	if err2 != nil {
		return nil, fmt.Errorf("%w; %w; run it as root, or run D-Bus", err, err2)
	}
	hello := Call{
		Destination: "org.freedesktop.DBus", Path: "/org/freedesktop/DBus", Interface: "org.freedesktop.DBus", Method: "Hello",
	}
	if err := b.Call(&hello, "s", func(*Values) {}); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Booted tells whether systemd is the init of the machine whose root folder is
// given: the test of sd_booted(3).
func Booted(root string) bool {
	info, err := os.Lstat(filepath.Join(root, "run/systemd/system"))
	return err == nil && info.IsDir()
}

// Manager is a call of systemd itself, see org.freedesktop.systemd1(5).
func Manager(method, signature string, body []byte) *Call {
	return &Call{
		Destination: systemd, Path: "/org/freedesktop/systemd1",
		Interface: systemd + ".Manager", Method: method, Signature: signature, Body: body,
	}
}

// Property is a call for a property of an object of systemd: face is the last
// part of the interface's name, like Unit or Service.
func Property(path, face, name string) Call {
	return Call{
		Destination: systemd, Path: path, Interface: "org.freedesktop.DBus.Properties", Method: "Get",
		Signature: "ss", Body: AppendText(AppendText(nil, systemd+"."+face), name),
	}
}

// systemd is what systemd is called on the bus.
const systemd = "org.freedesktop.systemd1"

// dial connects to a socket and says who asks.
func dial(ctx context.Context, path string) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connect to systemd: %w", err)
	}
	b := &Conn{name: path, conn: conn, in: bufio.NewReader(conn)}
	b.stop = context.AfterFunc(ctx, func() { _ = conn.Close() })
	if err := b.authenticate(); err != nil {
		b.Close()
		return nil, fmt.Errorf("connect to systemd: %s: %w", path, err)
	}
	return b, nil
}

// Close ends the connection.
func (b *Conn) Close() {
	b.stop()
	_ = b.conn.Close()
}

// authenticate has the socket's other end ask the kernel who this is: the
// mechanism EXTERNAL, with the user's number in decimal, that in hexadecimal.
// BEGIN goes along with it: systemd leaves a message lie that it reads together
// with a BEGIN, until another one comes.
func (b *Conn) authenticate() error {
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
func (b *Conn) line() (string, error) {
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
	return "", ErrMessage
}

// Call makes one call and gives the values of its answer, if they are of the
// types that the signature says.
func (b *Conn) Call(c *Call, signature string, answer func(*Values)) error {
	var failed error
	err := b.Calls([]Call{*c}, func(_ int, m *Message) {
		values, err := m.Values(signature)
		if err == nil {
			answer(values)
			if values.Broken {
				err = ErrMessage
			}
		}
		failed = err
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("ask systemd at %s: %s: %w", b.name, c.Method, err)
	}
	return nil
}

// Calls makes calls and gives each answer, as they come, with the index of its
// call. Some calls are on their way at the same time. The message is valid
// only until answer returns.
func (b *Conn) Calls(calls []Call, answer func(i int, m *Message)) error {
	for done := 0; done < len(calls); {
		now := calls[done:min(done+Window, len(calls))]
		if err := b.exchange(now, func(i int, m *Message) { answer(done+i, m) }); err != nil {
			return err
		}
		done += len(now)
	}
	return nil
}

// exchange sends calls and reads until each is answered.
func (b *Conn) exchange(calls []Call, answer func(i int, m *Message)) error {
	first := b.serial + 1
	var out []byte
	for i := range calls {
		b.serial++
		out = append(out, calls[i].message(b.serial)...)
	}
	if _, err := b.conn.Write(out); err != nil {
		return err
	}
	var answered [Window]bool
	for waiting := len(calls); waiting > 0; {
		m, err := ReadMessage(b.in, &b.buf)
		if err != nil {
			return err
		}
		i := int64(m.ReplyTo) - int64(first)
		if m.Kind != ReplyKind && m.Kind != ErrorKind || i < 0 || i >= int64(len(calls)) || answered[i] {
			continue // a signal, or the answer to nothing that was asked
		}
		answered[i] = true
		waiting--
		answer(int(i), &m)
	}
	return nil
}
