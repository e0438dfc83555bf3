package status

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The format of D-Bus messages, of which only as much stands here as a question
// to systemd needs: https://dbus.freedesktop.org/doc/dbus-specification.html,
// Type System and Message Protocol. The library for it, godbus, ends the whole
// program when a peer sends it one signal without its argument, reads from a
// goroutine that nobody waits for, believes lengths of 128 MiB and adds 290 KiB
// to the agent.

// Kinds of messages.
const (
	busCallKind  = 1
	busReplyKind = 2
	busErrorKind = 3
)

// Header fields.
const (
	busPath        = 1
	busInterface   = 2
	busMember      = 3
	busErrorName   = 4
	busReplySerial = 5
	busDestination = 6
	busSignature   = 8
)

const (
	busFixedHeader = 16       // all before the header fields
	busNoAutoStart = 2        // flag: start no service for this call
	maxBusFields   = 16 << 10 // bytes; names and paths of the bus are far shorter
	maxBusMessage  = 8 << 20  // bytes: some 30,000 units
)

var (
	errBusMessage = errors.New("what came is no message of D-Bus")
	errBusSize    = errors.New("what came is larger than any answer may be")
)

// busCall is a call of a method.
type busCall struct {
	destination, path, face, method string
	signature                       string
	body                            []byte // the arguments, beginning with an alignment of 8
}

// busMessage is what of a message matters to the one who asked.
type busMessage struct {
	kind      byte
	replyTo   uint32 // serial of the call that this answers
	errorName string
	signature string // of the body
	body      []byte // shared with the buffer that it was read into
}

// appendPadding appends zeros until b is aligned to n, a power of two.
func appendPadding(b []byte, n int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	return append(b, zeros[:-len(b)&(n-1)]...)
}

// appendText appends a STRING or OBJECT_PATH.
func appendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(appendPadding(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// appendTexts appends an ARRAY of STRING.
func appendTexts(b []byte, list ...string) []byte {
	b = appendPadding(b, 4)
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, s := range list {
		b = appendText(b, s)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// message is the call with its serial number, as it goes over the wire.
func (c *busCall) message(serial uint32) []byte {
	b := []byte{'l', busCallKind, busNoAutoStart, 1}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.body)))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = append(b, 0, 0, 0, 0) // the length of the fields
	for _, field := range [...]struct {
		code  byte
		kind  byte
		value string
	}{
		{busPath, 'o', c.path},
		{busInterface, 's', c.face},
		{busMember, 's', c.method},
		{busDestination, 's', c.destination},
		{busSignature, 'g', c.signature},
	} {
		if field.value == "" {
			continue
		}
		b = append(appendPadding(b, 8), field.code, 1, field.kind, 0)
		if field.kind == 'g' {
			b = append(append(append(b, byte(len(field.value))), field.value...), 0)
		} else {
			b = appendText(b, field.value)
		}
	}
	binary.LittleEndian.PutUint32(b[busFixedHeader-4:], uint32(len(b)-busFixedHeader))
	return append(appendPadding(b, 8), c.body...)
}

// readBusMessage reads one message by way of buf. What a length claims is
// believed only as far as bytes come. The errors are those of in, or say that
// it was no message, or one that is too large; after them in is of no use.
func readBusMessage(in io.Reader, buf *bytes.Buffer) (busMessage, error) {
	buf.Reset()
	if _, err := io.CopyN(buf, in, busFixedHeader); err != nil {
		return busMessage{}, err
	}
	fixed := busValues{b: buf.Bytes()}
	start := fixed.take(1, 4)
	body, _, fields := fixed.number(), fixed.number(), fixed.number()
	if start[0] != 'l' || start[3] != 1 {
		return busMessage{}, errBusMessage
	}
	m := busMessage{kind: start[1]}
	if fields > maxBusFields || body > maxBusMessage {
		return busMessage{}, errBusSize
	}
	end := busFixedHeader + int(fields)
	whole := end + -end&7
	if _, err := io.CopyN(buf, in, int64(whole-busFixedHeader)+int64(body)); err != nil {
		return busMessage{}, err
	}
	header := busValues{b: buf.Bytes()[:end], at: busFixedHeader}
	for header.at < end && !header.broken {
		m.field(&header)
	}
	if header.broken {
		return busMessage{}, errBusMessage
	}
	m.body = buf.Bytes()[whole:]
	return m, nil
}

// field reads one header field.
func (m *busMessage) field(v *busValues) {
	code := v.take(8, 1)
	if code == nil {
		return
	}
	switch kind := v.signature(); kind {
	case "u":
		if n := v.number(); code[0] == busReplySerial {
			m.replyTo = n
		}
	case "s", "o":
		if s := v.text(); code[0] == busErrorName {
			m.errorName = string(s)
		}
	case "g":
		if s := v.signature(); code[0] == busSignature {
			m.signature = s
		}
	default: // no field has another type
		v.broken = true
	}
}

// values gives the arguments, if they are of the types that the signature says.
func (m *busMessage) values(signature string) (*busValues, error) {
	switch {
	case m.kind == busErrorKind:
		e := &busError{name: m.errorName}
		if m.signature != "" && m.signature[0] == 's' {
			e.text = string((&busValues{b: m.body}).text())
		}
		return nil, e
	case m.signature != signature:
		return nil, fmt.Errorf("the answer is of the types %q, not %q: %w", m.signature, signature, errBusMessage)
	default:
		return &busValues{b: m.body}, nil
	}
}

// busError is an answer that is an error.
type busError struct{ name, text string }

func (e *busError) Error() string {
	if e.text == "" {
		return e.name
	}
	return e.text
}

// busValues takes values out of a message, one behind the other. Where one is
// not whole, it is empty as are all after it, and broken says so.
type busValues struct {
	b      []byte
	at     int
	broken bool
}

// take gives the next n bytes at an alignment, a power of two; nil if there are
// not as many.
func (v *busValues) take(align, n int) []byte {
	start := v.at + -v.at&(align-1)
	if v.broken || start > len(v.b) || n > len(v.b)-start {
		v.broken = true
		return nil
	}
	v.at = start + n
	return v.b[start:v.at:v.at]
}

// number takes a UINT32.
func (v *busValues) number() uint32 {
	if b := v.take(4, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// long takes a UINT64.
func (v *busValues) long() uint64 {
	if b := v.take(8, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// text takes a STRING or OBJECT_PATH, which is of the message's memory.
func (v *busValues) text() []byte { return v.closed(int64(v.number())) }

// signature takes a SIGNATURE.
func (v *busValues) signature() string {
	if b := v.take(1, 1); b != nil {
		return string(v.closed(int64(b[0])))
	}
	return ""
}

// closed takes n bytes and the zero behind them.
func (v *busValues) closed(n int64) []byte {
	if n >= int64(len(v.b)) {
		v.broken = true
		return nil
	}
	b := v.take(1, int(n)+1)
	if b == nil || b[n] != 0 {
		v.broken = true
		return nil
	}
	return b[:n]
}

// array begins an ARRAY of STRUCT, and gives the place at which it ends.
func (v *busValues) array() (end int) {
	size := int64(v.number())
	v.take(8, 0)
	if v.broken || size > int64(len(v.b)-v.at) {
		v.broken = true
		return 0
	}
	return v.at + int(size)
}

// variant begins a VARIANT that must be of a type.
func (v *busValues) variant(kind string) {
	if v.signature() != kind {
		v.broken = true
	}
}
