package top

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"dtc"
	"dtc/internal/render"
)

// FileAnswer is what one host said of its open files.
type FileAnswer struct {
	Host   int // in Options.Hosts
	PID    int // whose files, 0 for those of all
	At     time.Time
	Err    error
	Files  []dtc.OpenFile
	More   bool   // there are more files than these
	Filter string // that was asked for
	Note   string
}

// fileList is the screen with open files: of one process, or of a host.
type fileList struct {
	list
	host   int
	pid    int    // 0 for all processes
	owner  string // of pid, clean
	answer *FileAnswer
	err    error
	errAt  time.Time
	title  string
	lines  []string // of all files, as lsof prints them
	rows   []int    // of lines, as they are shown
	filter string
	filtered
}

// take takes over an answer.
func (l *fileList) take(a *FileAnswer) {
	if a.Err != nil {
		if l.err == nil {
			l.errAt = a.At
		}
		l.err = a.Err
		return
	}
	l.err, l.answer = nil, a
	l.took(a.Filter, a.More)
	l.title, l.lines = fileLines(a.Files)
}

// widestUser is how many cells the name of a user has: a longer one would push
// the names of the files off the screen.
const widestUser = 12

// fileLines returns the header and a line for each file.
func fileLines(files []dtc.OpenFile) (title string, lines []string) {
	files = slices.Clone(files)
	for i := range files {
		if user := &files[i].User; render.Width(clean(*user)) > widestUser {
			*user = fit(clean(*user), widestUser)
		}
	}
	var b bytes.Buffer
	_ = render.Text(&b, &dtc.Report{Status: dtc.StatusOpenFiles, OpenFiles: files}, render.Options{}) // a buffer takes all
	lines = strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	return clean(lines[0]), lines[1:]
}

// arrange filters the rows. Files keep the order of the host.
func (l *fileList) arrange(page int) {
	want := strings.ToLower(l.filter)
	l.rows = slices.Grow(l.rows[:0], len(l.lines))
	for i := range l.lines {
		if matchesFile(want, &l.answer.Files[i]) {
			l.rows = append(l.rows, i)
		}
	}
	l.n = len(l.rows)
	l.settle(page)
}
