package follow

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

// Limits of what is decompressed. Who may write into a followed folder can put
// anything there.
const (
	maxWindow      = 16 << 20  // bytes of memory of an archive's own wish, of each that is read
	maxLargeWindow = 64 << 20  // and of one at a time: what xz -9 takes
	maxContent     = 256 << 30 // bytes that come out of one archive
	maxInput       = 1 << 40   // bytes of one archive
	maxPadding     = 1 << 20   // zeros behind the last member of a gzip file
	archiveBlock   = 64 << 10
)

var (
	// ErrUnfinished is the error of an archive that has no end: it is still being
	// written, or it was cut.
	ErrUnfinished = errors.New("the archive has no end")

	errLarge  = fmt.Errorf("it takes more than %d MiB of memory", maxLargeWindow>>20)
	errHuge   = fmt.Errorf("it has more than %d GiB", maxInput>>30)
	errStrays = errors.New("there is something else behind its end")
)

// Unreadable is the error of an archive that cannot be read, now and later.
type Unreadable struct {
	Name   string // of the file
	Reason string
}

// Error returns one line for an operator.
func (u *Unreadable) Error() string { return fmt.Sprintf("%s cannot be read: %s", u.Name, u.Reason) }

// format is one that archives are made in.
type format struct {
	name  string
	magic string                                                      // the first bytes
	open  func(in *bufio.Reader, window int64) (io.ReadCloser, error) // nil: it can only be named
}

// formats are told by their first bytes: a name may say anything.
func formats() []format {
	return []format{
		{"gzip", "\x1f\x8b\x08", openGzip},
		{"zstd", "\x28\xb5\x2f\xfd", openZstd},
		{"xz", "\xfd7zXZ\x00", openXz},
		{"bzip2", "BZh", openBzip2},
		{"lz4", "\x04\x22\x4d\x18", nil},
		{"compress", "\x1f\x9d", nil},
		{"lzip", "LZIP", nil},
		{"lzma", "\x5d\x00\x00", nil},
		{"lzop", "\x89LZO", nil},
		{"zip", "PK\x03\x04", nil},
		{"7z", "7z\xbc\xaf\x27\x1c", nil},
	}
}

// input reads the bytes of an archive as they are on the disk.
type input struct {
	goOn func() error // why to stop
	file *File
	off  int64
	end  bool // there is no more
}

func (in *input) Read(b []byte) (int, error) {
	if err := in.goOn(); err != nil {
		return 0, err
	}
	if in.off > maxInput {
		return 0, errHuge
	}
	n, err := in.file.rawAt(b, in.off)
	in.off += int64(n)
	if n == 0 && (err == nil || errors.Is(err, io.EOF)) {
		in.end = true
		return 0, io.EOF
	}
	return n, err
}

// unpacking is the content of an archive, from its beginning.
type unpacking struct {
	in   *input
	name string // of the file
	kind string
	out  io.ReadCloser
	n    int64 // bytes that came out
}

// unpack begins to decompress f, for as long as goOn gives no error. It takes at most window bytes of memory for
// what the archive looks back on. The error is ErrUnfinished, an *Unreadable,
// or that of reading the file.
func unpack(goOn func() error, f *File, window int64) (u *unpacking, err error) {
	u = &unpacking{in: &input{goOn: goOn, file: f}, name: filepath.Base(f.real)}
	defer u.guard(&err)
	buffered := bufio.NewReaderSize(u.in, archiveBlock)
	first, err := buffered.Peek(6)
	if err != nil {
		return nil, u.fault(err)
	}
	skippable := first[0]&0xf0 == 0x50 && bytes.Equal(first[1:4], []byte{0x2a, 0x4d, 0x18})
	for _, form := range formats() {
		if !bytes.HasPrefix(first, []byte(form.magic)) && (!skippable || form.name != "zstd") {
			continue
		}
		if u.kind = form.name; form.open == nil {
			return nil, &Unreadable{u.name, "archives of " + u.kind + " are not read"}
		}
		if u.out, err = form.open(buffered, window); err != nil {
			return nil, u.fault(err)
		}
		return u, nil
	}
	return nil, &Unreadable{u.name, "it is no archive of gzip, bzip2, xz or zstd"}
}

// Read returns io.EOF only behind an end that was proven by the archive's own
// checksums.
func (u *unpacking) Read(b []byte) (n int, err error) {
	defer u.guard(&err)
	if err := u.in.goOn(); err != nil { // much can come out of few bytes
		return 0, err
	}
	n, err = u.out.Read(b)
	u.n += int64(n)
	if u.n > maxContent {
		return 0, &Unreadable{u.name, fmt.Sprintf("more than %d GiB come out of it", maxContent>>30)}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = u.fault(err)
	}
	return n, err
}

// guard turns a panic of a decompressor into an error: a hostile archive must
// not end the agent.
func (u *unpacking) guard(err *error) {
	if p := recover(); p != nil {
		*err = &Unreadable{u.name, fmt.Sprintf("it is damaged (%s: %v)", u.kind, p)}
	}
}

func (u *unpacking) close() {
	if u.out != nil {
		_ = u.out.Close()
	}
}

// fault says what an error of a decompressor means.
func (u *unpacking) fault(err error) error {
	switch {
	case u.in.goOn() != nil:
		return u.in.goOn()
	case errors.Is(err, xz.ErrMemlimit), errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return errLarge
	case errors.Is(err, errHuge):
		return &Unreadable{u.name, errHuge.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF), u.in.end: // it ended too early, or in the middle of what is wrong
		return ErrUnfinished
	default:
		return &Unreadable{u.name, fmt.Sprintf("it is damaged (%s: %v)", u.kind, err)}
	}
}

// gzipMembers are the members of a gzip file, one after the other.
type gzipMembers struct {
	in *bufio.Reader
	z  *gzip.Reader
}

func openGzip(in *bufio.Reader, _ int64) (io.ReadCloser, error) {
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &gzipMembers{in, z}, nil
}

func (g *gzipMembers) Read(b []byte) (int, error) {
	n, err := g.z.Read(b)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if err := g.skipPadding(); err != nil {
		return n, err
	}
	if err := g.z.Reset(g.in); err != nil {
		return n, err
	}
	g.z.Multistream(false)
	return n, nil
}

// skipPadding goes to the next member over the zeros that some tapes and disks
// leave behind the last. The error is io.EOF if there is none.
func (g *gzipMembers) skipPadding() error {
	for range maxPadding {
		c, err := g.in.ReadByte()
		if err != nil {
			return err
		}
		if c != 0 {
			return g.in.UnreadByte()
		}
	}
	return errStrays
}

func (g *gzipMembers) Close() error { return nil }

func openBzip2(in *bufio.Reader, _ int64) (io.ReadCloser, error) {
	return io.NopCloser(bzip2.NewReader(in)), nil // 4 MiB at most
}

func openXz(in *bufio.Reader, window int64) (io.ReadCloser, error) {
	r, err := xz.NewReader(in, uint32(min(window, maxLargeWindow)))
	return io.NopCloser(r), err
}

func openZstd(in *bufio.Reader, window int64) (io.ReadCloser, error) {
	d, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(window)))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}
