package notify

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
)

// A queue is a folder of files, NNNNNNNN.log, that are only ever appended to,
// each with one write a line. A line is the CRC-32C of what follows it, in eight
// hexadecimal digits, a space, and one of:
//
//	n SEQ TIME FLAGS JSON  a notice: its number, when it was made (milliseconds
//	                       since 1970), its flags, and the record
//	d SEQ                  nothing is left to do for the notices up to that one
//
// A file is begun anew by each run and when the last has grown; one of which
// all notices are done is removed. A line whose sum is not right is passed over.
const (
	segmentEnd   = ".log"
	segmentBytes = 1 << 20  // a file that is as large is continued by another
	maxLineBytes = 32 << 20 // a longer line is none of ours
)

// The flags of a notice.
const (
	flagNone     = "-"
	flagOwn      = "u" // it tells of nothing but undelivered notices
	flagReminder = "r"
)

// errLine is of a line that is not what was once written.
var errLine = errors.New("the line in the file is damaged")

// segment is one file of a queue.
type segment struct {
	number int
	size   int64
	last   uint64 // the last notice in it; 0: there is none

	// file is open as long as it is needed, so that what somebody removes can be
	// read still; nil: it is opened by its path.
	file *os.File
}

// close has the file opened by its path from now on.
func (s *segment) close() {
	if s.file != nil {
		_ = s.file.Close() // what was written was synced before
		s.file = nil
	}
}

func segmentName(number int) string { return fmt.Sprintf("%08d%s", number, segmentEnd) }

// segmentNumber is the reverse of segmentName, and 0 if it is none's.
func segmentNumber(name string) int {
	digits, ok := strings.CutSuffix(name, segmentEnd)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || len(digits) != 8 || n < 1 {
		return 0
	}
	return n
}

// slot is where a notice that is to be delivered stands.
type slot struct {
	seq    uint64
	id     string // of the notice
	title  string
	made   time.Time
	flags  string
	number int // of the segment; 0: it is in memory only
	off    int64
	size   int
	record *record // nil if it is on the disk
}

// about takes up what a record says of its notice.
func (s *slot) about(data []byte) {
	var r struct {
		ID    string `json:"id"`
		Title string `json:"title"`
	}
	if json.Unmarshal(data, &r) == nil {
		s.id, s.title = r.ID, r.Title
	}
	if s.id == "" { // nobody else has written it, but its sum is right
		s.id, s.title = strconv.FormatUint(s.seq, 10), "a notice that cannot be read"
	}
}

// flagsOf returns the flags of a notice.
func flagsOf(r *record) string {
	switch {
	case r.Kind == Reminder:
		return flagReminder
	case !slices.ContainsFunc(r.Events, func(e storedEvent) bool { return e.State != dtc.StateUndelivered }):
		return flagOwn
	default:
		return flagNone
	}
}

func crcOf(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

// sealLine returns a line of a queue.
func sealLine(body []byte) []byte {
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", crcOf(body))
	return append(append(line, body...), '\n')
}

// openLine is the reverse of sealLine, without the newline.
func openLine(line []byte) ([]byte, error) {
	sum, body, ok := bytes.Cut(line, []byte(" "))
	want, err := strconv.ParseUint(string(sum), 16, 32)
	if !ok || err != nil || len(sum) != 8 || uint32(want) != crcOf(body) {
		return nil, errLine
	}
	return body, nil
}

func doneLine(seq uint64) []byte { return sealLine(fmt.Appendf(nil, "d %d", seq)) }

func noticeLine(s *slot, record []byte) []byte {
	body := fmt.Appendf(make([]byte, 0, len(record)+40), "n %d %d %s ", s.seq, s.made.UnixMilli(), cmp.Or(s.flags, flagNone))
	return sealLine(append(body, record...))
}

// parsedLine is what a line of a queue says: a slot, or what is done.
type parsedLine struct {
	slot   *slot
	record []byte // JSON
	done   uint64
}

func parseQueueLine(line []byte) (parsedLine, error) {
	body, err := openLine(line)
	if err != nil {
		return parsedLine{}, err
	}
	fields := bytes.SplitN(body, []byte(" "), 5)
	if len(fields) < 2 {
		return parsedLine{}, errLine
	}
	seq, err := strconv.ParseUint(string(fields[1]), 10, 64)
	switch kind := string(fields[0]); {
	case err != nil || seq == 0:
		return parsedLine{}, errLine
	case kind == "d" && len(fields) == 2:
		return parsedLine{done: seq}, nil
	case kind != "n" || len(fields) != 5:
		return parsedLine{}, errLine
	}
	made, err := strconv.ParseInt(string(fields[2]), 10, 64)
	if err != nil {
		return parsedLine{}, errLine
	}
	s := &slot{seq: seq, made: time.UnixMilli(made), flags: string(fields[3]), size: len(line)}
	return parsedLine{slot: s, record: fields[4]}, nil
}

// readSegment gives each line of a file that is right to each, and returns how
// many are not. What stands behind a line without an end counts as one.
func readSegment(path string, each func(off int64, p parsedLine)) (bad int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var off int64
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 64<<10), maxLineBytes)
	lines.Split(wholeLines())
	for lines.Scan() {
		line := lines.Bytes()
		p, err := parseQueueLine(bytes.TrimSuffix(line, []byte("\n")))
		if err != nil {
			bad++
		} else {
			each(off, p)
		}
		off += int64(len(line))
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return bad + 1, nil
	}
	return bad, lines.Err()
}

// wholeLines returns bufio.ScanLines that leaves a line as it is.
func wholeLines() bufio.SplitFunc {
	return func(data []byte, last bool) (advance int, token []byte, err error) {
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			return i + 1, data[:i+1], nil
		}
		if last && len(data) > 0 {
			return len(data), data, nil
		}
		return 0, nil, nil
	}
}

// readSlot reads the record of a slot.
func readSlot(f io.ReaderAt, s *slot) ([]byte, error) {
	line := make([]byte, s.size)
	if _, err := f.ReadAt(line, s.off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	p, err := parseQueueLine(line)
	if err == nil && (p.slot == nil || p.slot.seq != s.seq) {
		err = errLine
	}
	return p.record, err
}
