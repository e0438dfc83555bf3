package proc

import (
	"bufio"
	"errors"
	"io"
	"os"
)

// longestLine is the longest line of a file of the whole system that is read.
const longestLine = 8 << 10

// eachLine passes the lines of a file to put one after the other, without their
// newline, so that a long file takes no memory. A line is valid during the call;
// one that is longer than any of the kernel's is left out. put returns false to
// end it.
func (f FS) eachLine(put func(line []byte) bool, elem ...string) error {
	file, err := os.Open(f.path(elem...))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewReaderSize(file, longestLine)
	for {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) {
			line = nil
			_, err = lines.ReadSlice('\n')
		}
		if n := len(line); n > 0 && line[n-1] == '\n' {
			line = line[:n-1]
		}
		if len(line) > 0 && !put(line) {
			return nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
