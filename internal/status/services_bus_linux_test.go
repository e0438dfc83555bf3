package status

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/bounds"
	"dtc/internal/dbus"
)

// aReply is an answer to the call with a serial number.
func aReply(serial uint32, signature string, body []byte) []byte {
	return aMessage(dbus.ReplyKind, serial, []string{"\x08g", signature}, body)
}

// anError is an error as an answer.
func anError(serial uint32, name, text string) []byte {
	return aMessage(dbus.ErrorKind, serial, []string{"\x04s", name, "\x08g", "s"}, dbus.AppendText(nil, text))
}

// aMessage is a message with header fields: the code and the type of each, and
// its value.
func aMessage(kind byte, replyTo uint32, fields []string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{'l', kind, 0, 1}, uint32(len(body)))
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0)
	if replyTo > 0 {
		b = binary.LittleEndian.AppendUint32(append(b, 5, 1, 'u', 0), replyTo)
	}
	for i := 0; i < len(fields); i += 2 {
		b = append(dbus.AppendPadding(b, 8), fields[i][0], 1, fields[i][1], 0)
		if fields[i][1] == 'g' {
			b = append(append(append(b, byte(len(fields[i+1]))), fields[i+1]...), 0)
		} else {
			b = dbus.AppendText(b, fields[i+1])
		}
	}
	binary.LittleEndian.PutUint32(b[16-4:], uint32(len(b)-16))
	return append(dbus.AppendPadding(b, 8), body...)
}

// aList is the answer of ListUnits with units of these names, all active.
func aList(names ...string) []byte {
	b := make([]byte, 8)
	for _, name := range names {
		b = dbus.AppendPadding(b, 8)
		for _, s := range []string{name, "of " + name, "loaded", "active", "running", "", "/unit/" + name} {
			b = dbus.AppendText(b, s)
		}
		b = dbus.AppendText(dbus.AppendText(append(dbus.AppendPadding(b, 4), 0, 0, 0, 0), ""), "/")
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-8))
	return b
}

const listSignature = "a(ssssssouso)"

// variants of the types of MainPID and of the times.
func variantU(n uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte("\x01u\x00\x00"), n)
}

func variantT(n uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("\x01t\x00\x00\x00\x00\x00\x00"), n)
}

// aBus is the other end of a connection.
type aBus struct {
	conn   net.Conn
	in     *bufio.Reader
	buf    bytes.Buffer
	serial uint32 // of the last call
}

// say writes, until the collector has gone.
func (b *aBus) say(message []byte) bool {
	_, err := b.conn.Write(message)
	return err == nil
}

// hear reads a call, and gives its body.
func (b *aBus) hear() []byte {
	m, err := dbus.ReadMessage(b.in, &b.buf)
	if err != nil {
		return nil
	}
	b.serial = m.Serial
	return m.Body
}

// greet does what comes before the first message.
func (b *aBus) greet() {
	_, _ = b.in.ReadString('\n')
	_, _ = b.in.ReadString('\n')
	b.say([]byte("OK 0123456789abcdef\r\n"))
}

// silence lasts until the collector has gone.
func (b *aBus) silence() { _, _ = io.Copy(io.Discard, b.in) }

// list answers the question for the list.
func (b *aBus) list(names ...string) {
	b.greet()
	b.hear()
	b.say(aReply(b.serial, listSignature, aList(names...)))
}

// askBus asks a collector whose systemd is the function given.
func askBus(t *testing.T, bus func(*aBus)) ([]dtc.Service, []string, error) {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", filepath.Join(root, "run/systemd/private"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := socket.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		bus(&aBus{conn: conn, in: bufio.NewReader(conn)})
	}()
	defer func() {
		_ = socket.Close()
		<-done
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	services, notes, err := New(Options{Root: root}).services(ctx)
	if ctx.Err() != nil {
		t.Error("the answer came after the deadline")
	}
	return services, notes, err
}

// TestHostileBus has to do with a bus that does not answer as it should: there
// is an error, or what came and a note, and always in time.
func TestHostileBus(t *testing.T) {
	t.Parallel()
	header := func(fields, body uint32) []byte {
		b := binary.LittleEndian.AppendUint32([]byte("l\x02\x00\x01"), body)
		return binary.LittleEndian.AppendUint32(append(b, 1, 0, 0, 0), fields)
	}
	afterGreeting := func(message []byte) func(*aBus) {
		return func(b *aBus) {
			b.greet()
			b.hear()
			b.say(message)
			b.silence()
		}
	}
	for _, test := range []struct {
		name, want string // a part of the error
		bus        func(*aBus)
	}{
		{"silence", "no whole answer in time", (*aBus).silence},
		{"silence after the greeting", "no whole answer in time", func(b *aBus) { b.greet(); b.silence() }},
		{"hangs up", "connect to systemd", func(*aBus) {}},
		{"refuses", "does not let this user in: \"REJECTED EXTERNAL\"", func(b *aBus) {
			b.say([]byte("REJECTED EXTERNAL\r\n"))
			b.silence()
		}},
		{"a line without end", "no message of D-Bus", func(b *aBus) {
			for b.say(bytes.Repeat([]byte("x"), 4096)) {
			}
		}},
		{"garbage", "no message of D-Bus", afterGreeting(bytes.Repeat([]byte("garbage\n"), 1000))},
		{"the other byte order", "no message of D-Bus", afterGreeting(bytes.Replace(aReply(1, listSignature, aList()), []byte("l"), []byte("B"), 1))},
		{"a huge body", "larger than any answer", afterGreeting(header(0, 1<<31))},
		{"a huge header", "larger than any answer", afterGreeting(header(1<<31, 0))},
		{"a body that does not come", "no whole answer in time", afterGreeting(header(0, dbus.MaxMessage))},
		{"a header that does not end", "no message of D-Bus", afterGreeting(append(header(8, 0), "\x06\x01s\x00\xff\xff\xff\xff"...))},
		{"a header field of no such type", "no message of D-Bus", afterGreeting(append(header(8, 0), "\x06\x01d\x00\xff\xff\xff\xff"...))},
		{"half a message", "EOF", func(b *aBus) {
			b.greet()
			b.hear()
			b.say(aReply(b.serial, listSignature, aList("a.service"))[:50])
		}},
		{"messages without end", "no whole answer in time", func(b *aBus) {
			b.greet()
			signal := aMessage(4, 0, []string{"\x01o", "/a", "\x02s", "org.freedesktop.DBus", "\x03s", "NameAcquired"}, nil)
			for b.say(signal) {
			}
		}},
		{"answers to nothing", "no whole answer in time", func(b *aBus) {
			b.greet()
			for b.say(aReply(77, listSignature, aList())) {
			}
		}},
		{"other types", "is of the types \"as\"", afterGreeting(aReply(1, "as", dbus.AppendTexts(nil, "a")))},
		{"an array that is too long", "no message of D-Bus", afterGreeting(aReply(1, listSignature, []byte("\xff\xff\xff\x00\x00\x00\x00\x00")))},
		{"half a list", "no message of D-Bus", afterGreeting(aReply(1, listSignature, []byte("\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00a\x00\x00\x00aaaaaaaa")))},
		{"an error", "ListUnitsByPatterns: Access denied", afterGreeting(anError(1, "org.freedesktop.DBus.Error.AccessDenied", "Access denied"))},
		{"an error without a text", "ListUnitsByPatterns: a.b.C", afterGreeting(aMessage(dbus.ErrorKind, 1, []string{"\x04s", "a.b.C"}, nil))},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			services, _, err := askBus(t, test.bus)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v; want the error %q", services, err, test.want)
			}
		})
	}
}

// TestHalfTold has to do with a systemd that lists its services and does not
// tell all of each.
func TestHalfTold(t *testing.T) {
	t.Parallel()
	since := time.UnixMicro(1_700_000_000_123_456)
	for _, test := range []struct {
		name string
		bus  func(*aBus)
		want []dtc.Service
		note string
	}{
		{
			"nothing of any", func(b *aBus) {
				b.list("b.service", "A.service")
				b.silence()
			},
			[]dtc.Service{{Name: "A.service", PID: dtc.Absent}, {Name: "b.service", PID: dtc.Absent}},
			"told only 0 of the 4 main pids and times of 2 services: ask systemd: no whole answer in time",
		},
		{
			"hangs up", func(b *aBus) { b.list("a.service") },
			[]dtc.Service{{Name: "a.service", PID: dtc.Absent}},
			"told only 0 of the 2",
		},
		{"an error, the second first, and both twice", func(b *aBus) {
			b.list("a.service")
			b.hear()
			b.hear()
			for range 2 {
				b.say(aReply(b.serial, "v", variantU(812)))
				b.say(anError(b.serial-1, "a.b.C", "gone\nfor good"))
			}
			b.silence()
		}, []dtc.Service{{Name: "a.service", PID: 812}}, "told only 1 of the 2 main pids and times of 1 services: gone"},
		{"all", func(b *aBus) {
			b.list("a.service", "a.mount")
			b.hear()
			b.hear()
			b.say(aReply(b.serial-1, "v", variantT(uint64(since.UnixMicro()))))
			b.say(aReply(b.serial, "v", variantU(1)))
			b.silence()
		}, []dtc.Service{{Name: "a.service", PID: 1, Since: since}}, ""},
		{"numbers that cannot be", func(b *aBus) {
			b.list("a.service")
			b.hear()
			b.hear()
			b.say(aReply(b.serial-1, "v", variantT(1<<63)))
			b.say(aReply(b.serial, "v", variantU(1<<31)))
			b.silence()
		}, []dtc.Service{{Name: "a.service", PID: dtc.Absent}}, "told only 0 of the 2"},
		{"variants of other types", func(b *aBus) {
			b.list("a.service")
			b.hear()
			b.hear()
			b.say(aReply(b.serial-1, "v", variantU(5)))
			b.say(aReply(b.serial, "v", variantT(5)))
			b.silence()
		}, []dtc.Service{{Name: "a.service", PID: dtc.Absent}}, "told only 0 of the 2 main pids and times of 1 services: what came is no"},
		{"a systemd of before 230", func(b *aBus) {
			b.greet()
			b.hear()
			b.say(anError(b.serial, "org.freedesktop.DBus.Error.UnknownMethod", "Unknown method"))
			if body := b.hear(); len(body) > 0 {
				return
			}
			b.say(aReply(b.serial, listSignature, aList("a.slice", "a.service", "b.scope")))
			b.silence()
		}, []dtc.Service{{Name: "a.service", PID: dtc.Absent}}, "told only 0 of the 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			services, notes, err := askBus(t, test.bus)
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(notes, "\n"); !strings.Contains(all, test.note) || (all == "") != (test.note == "") {
				t.Errorf("notes %q, want %q", all, test.note)
			}
			if len(services) != len(test.want) {
				t.Fatalf("got %+v, want %+v", services, test.want)
			}
			for i, want := range test.want {
				want.Description, want.Load, want.State, want.SubState = "of "+want.Name, "loaded", "active", "running"
				if services[i] != want {
					t.Errorf("got %+v, want %+v", services[i], want)
				}
			}
		})
	}
}

// TestManyServices has to do with more services than an answer has, and with
// more calls than may be on their way.
func TestManyServices(t *testing.T) {
	t.Parallel()
	names := make([]string, maxServices+1)
	for i := range names {
		names[i] = "a.service"
	}
	services, notes, err := askBus(t, func(b *aBus) {
		b.list(names...)
		for waiting := 0; ; {
			if b.hear() == nil {
				return
			}
			if waiting++; waiting > dbus.Window {
				t.Errorf("%d calls at once", waiting)
			}
			if b.in.Buffered() == 0 {
				for ; waiting > 0; waiting-- {
					b.say(aReply(b.serial-uint32(waiting)+1, "v", variantU(0)))
				}
			}
		}
	})
	if err != nil || len(services) != maxServices || len(notes) == 0 || !strings.Contains(notes[0], "of 10001 services only the first 10000") {
		t.Errorf("got %d services, notes %q, %v", len(services), notes, err)
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	_, _, err := New(Options{Root: root}).services(t.Context())
	if err == nil || !strings.Contains(err.Error(), "this host's init is not systemd") {
		t.Error(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _, err = New(Options{Root: root}).services(t.Context())
	if err == nil || !strings.Contains(err.Error(), "run/systemd/private") || !strings.Contains(err.Error(), "run/dbus/system_bus_socket") {
		t.Error(err)
	}
}

// FuzzBusMessage has to do with whatever comes from a bus.
func FuzzBusMessage(f *testing.F) {
	f.Add(aReply(1, listSignature, aList("a.service", "b.mount")))
	f.Add(aReply(2, "v", variantT(1_700_000_000_123_456)))
	f.Add(aReply(3, "v", variantU(812)))
	f.Add(anError(4, "org.freedesktop.DBus.Error.UnknownMethod", "Unknown method"))
	f.Add(aMessage(4, 0, []string{"\x01o", "/a", "\x02s", "org.freedesktop.DBus", "\x03s", "NameAcquired"}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer bounds.Alloc(t, len(data))()
		var buf bytes.Buffer
		m, err := dbus.ReadMessage(bytes.NewReader(data), &buf)
		if err != nil {
			return
		}
		if len(m.Body) > len(data) || buf.Cap() > 2*len(data)+1024 {
			t.Errorf("%d bytes, %d of memory, of %d", len(m.Body), buf.Cap(), len(data))
		}
		if v, err := m.Values(m.Signature); err == nil {
			const least = 8 * 5 // bytes of a unit
			if units := takeUnits(v); len(units) > len(m.Body)/least {
				t.Errorf("%d units of %d bytes", len(units), len(m.Body))
			}
		}
		if v, err := m.Values(m.Signature); err == nil {
			if since, err := takeTime(v); err != nil && !since.IsZero() {
				t.Errorf("since %v, %v", since, err)
			}
		}
		if v, err := m.Values(m.Signature); err == nil {
			if pid, _ := takePID(v); pid == 0 || pid > maxPID {
				t.Errorf("pid %d", pid)
			}
		}
	})
}
