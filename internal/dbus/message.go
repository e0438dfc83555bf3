package dbus

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
	callKind  = 1
	ReplyKind = 2
	ErrorKind = 3
)

// Header fields.
const (
	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

const (
	fixedHeader = 16       // all before the header fields
	noAutoStart = 2        // flag: start no service for this call
	maxFields   = 16 << 10 // bytes; names and paths of the bus are far shorter
)

// MaxMessage bounds a message, in bytes: some 30,000 units.
const MaxMessage = 8 << 20

// ErrMessage says that what came breaks the rules of D-Bus, or is not of the types
// that were asked for.
var ErrMessage = errors.New("what came is no message of D-Bus")

var errSize = errors.New("what came is larger than any answer may be")

// Call is a call of a method.
type Call struct {
	Destination, Path, Interface, Method string
	Signature                            string // of the arguments
	Body                                 []byte // the arguments, beginning with an alignment of 8
}

// Message is what of a message matters to the one who asked.
type Message struct {
	Kind    byte   // callKind, ReplyKind, ErrorKind, or a signal's
	Serial  uint32 // of the message itself
	ReplyTo uint32 // serial of the call that this answers
	// Signature has the types of the arguments, which Body holds in memory that is
	// shared with the buffer that it was read into.
	Signature string
	Body      []byte

	errorName string
}

// AppendPadding appends zeros until b is aligned to n, a power of two.
func AppendPadding(b []byte, n int) []byte {
	const zeros = "\x00\x00\x00\x00\x00\x00\x00\x00"
	return append(b, zeros[:-len(b)&(n-1)]...)
}

// AppendText appends a STRING or OBJECT_PATH.
func AppendText(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(AppendPadding(b, 4), uint32(len(s)))
	return append(append(b, s...), 0)
}

// AppendTexts appends an ARRAY of STRING.
func AppendTexts(b []byte, list ...string) []byte {
	b = AppendPadding(b, 4)
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, 0)
	for _, s := range list {
		b = AppendText(b, s)
	}
	binary.LittleEndian.PutUint32(b[start:], uint32(len(b)-start-4))
	return b
}

// AppendBool appends a BOOLEAN.
func AppendBool(b []byte, is bool) []byte { //nolint:revive // flag-parameter: it is the value
	b = append(AppendPadding(b, 4), 0, 0, 0, 0)
	if is {
		b[len(b)-4] = 1
	}
	return b
}

// message is the call with its serial number, as it goes over the wire.
func (c *Call) message(serial uint32) []byte {
	b := []byte{'l', callKind, noAutoStart, 1}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Body)))
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = append(b, 0, 0, 0, 0) // the length of the fields
	for _, field := range [...]struct {
		code  byte
		kind  byte
		value string
	}{
		{fieldPath, 'o', c.Path},
		{fieldInterface, 's', c.Interface},
		{fieldMember, 's', c.Method},
		{fieldDestination, 's', c.Destination},
		{fieldSignature, 'g', c.Signature},
	} {
		if field.value == "" {
			continue
		}
		b = append(AppendPadding(b, 8), field.code, 1, field.kind, 0)
		if field.kind == 'g' {
			b = append(append(append(b, byte(len(field.value))), field.value...), 0)
		} else {
			b = AppendText(b, field.value)
		}
	}
	binary.LittleEndian.PutUint32(b[fixedHeader-4:], uint32(len(b)-fixedHeader))
	return append(AppendPadding(b, 8), c.Body...)
}

// ReadMessage reads one message by way of buf. What a length claims is
// believed only as far as bytes come. The errors are those of in, or say that
// it was no message, or one that is too large; after them in is of no use.
func ReadMessage(in io.Reader, buf *bytes.Buffer) (Message, error) {
	buf.Reset()
	if _, err := io.CopyN(buf, in, fixedHeader); err != nil {
		return Message{}, err
	}
	fixed := Values{b: buf.Bytes()}
	start := fixed.take(1, 4)
	body, serial, fields := fixed.Number(), fixed.Number(), fixed.Number()
	if start[0] != 'l' || start[3] != 1 {
		return Message{}, ErrMessage
	}
	m := Message{Kind: start[1], Serial: serial}
	if fields > maxFields || body > MaxMessage {
		return Message{}, errSize
	}
	end := fixedHeader + int(fields)
	whole := end + -end&7
	if _, err := io.CopyN(buf, in, int64(whole-fixedHeader)+int64(body)); err != nil {
		return Message{}, err
	}
	header := Values{b: buf.Bytes()[:end], at: fixedHeader}
	for header.at < end && !header.Broken {
		m.field(&header)
	}
	if header.Broken {
		return Message{}, ErrMessage
	}
	m.Body = buf.Bytes()[whole:]
	return m, nil
}

// field reads one header field.
func (m *Message) field(v *Values) {
	code := v.take(8, 1)
	if code == nil {
		return
	}
	switch kind := v.signature(); kind {
	case "u":
		if n := v.Number(); code[0] == fieldReplySerial {
			m.ReplyTo = n
		}
	case "s", "o":
		if s := v.Text(); code[0] == fieldErrorName {
			m.errorName = string(s)
		}
	case "g":
		if s := v.signature(); code[0] == fieldSignature {
			m.Signature = s
		}
	default: // no field has another type
		v.Broken = true
	}
}

// Values gives the arguments, if they are of the types that the signature says.
func (m *Message) Values(signature string) (*Values, error) {
	switch {
	case m.Kind == ErrorKind:
		e := &Error{Name: m.errorName}
		if m.Signature != "" && m.Signature[0] == 's' {
			e.Text = string((&Values{b: m.Body}).Text())
		}
		return nil, e
	case m.Signature != signature:
		return nil, fmt.Errorf("the answer is of the types %q, not %q: %w", m.Signature, signature, ErrMessage)
	default:
		return &Values{b: m.Body}, nil
	}
}

// Error is an answer that is an error.
type Error struct{ Name, Text string }

func (e *Error) Error() string {
	if e.Text == "" {
		return e.Name
	}
	return e.Text
}

// Values takes values out of a message, one behind the other. Where one is
// not whole, it is empty as are all after it, and Broken says so.
type Values struct {
	b      []byte
	at     int
	Broken bool
}

// take gives the next n bytes at an alignment, a power of two; nil if there are
// not as many.
func (v *Values) take(align, n int) []byte {
	start := v.at + -v.at&(align-1)
	if v.Broken || start > len(v.b) || n > len(v.b)-start {
		v.Broken = true
		return nil
	}
	v.at = start + n
	return v.b[start:v.at:v.at]
}

// Number takes a UINT32.
func (v *Values) Number() uint32 {
	if b := v.take(4, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// Long takes a UINT64.
func (v *Values) Long() uint64 {
	if b := v.take(8, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// Text takes a STRING or OBJECT_PATH, which is of the message's memory.
func (v *Values) Text() []byte { return v.closed(int64(v.Number())) }

// signature takes a SIGNATURE.
func (v *Values) signature() string {
	if b := v.take(1, 1); b != nil {
		return string(v.closed(int64(b[0])))
	}
	return ""
}

// closed takes n bytes and the zero behind them.
func (v *Values) closed(n int64) []byte {
	if n >= int64(len(v.b)) {
		v.Broken = true
		return nil
	}
	b := v.take(1, int(n)+1)
	if b == nil || b[n] != 0 {
		v.Broken = true
		return nil
	}
	return b[:n]
}

// Array begins an ARRAY of STRUCT, and gives the place at which it ends.
func (v *Values) Array() (end int) {
	size := int64(v.Number())
	v.take(8, 0)
	if v.Broken || size > int64(len(v.b)-v.at) {
		v.Broken = true
		return 0
	}
	return v.at + int(size)
}

// More begins the next STRUCT of an array that ends there, if there is one.
func (v *Values) More(end int) bool {
	if v.Broken || v.at >= end {
		return false
	}
	v.take(8, 0)
	return !v.Broken
}

// Variant begins a VARIANT that must be of a type.
func (v *Values) Variant(kind string) {
	if v.signature() != kind {
		v.Broken = true
	}
}
