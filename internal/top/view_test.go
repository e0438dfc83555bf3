package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"dtc"
	"dtc/internal/render"
)

var sizes = []struct{ width, height int }{{80, 24}, {200, 50}, {60, 10}, {40, 8}, {12, 4}}

func TestHostScreen(t *testing.T) {
	for _, size := range sizes {
		m := small(look{unicode: true})
		m.resize(size.width, size.height)
		golden(t, fmt.Sprintf("hosts-%dx%d", size.width, size.height), m)
	}
	m := small(look{color: true})
	press(m, "a", "down")
	golden(t, "hosts-color-ascii", m)
	press(m, "/", "w", "e")
	golden(t, "hosts-filter", m)
}

// processesOf returns a model that shows processes.
func processesOf(look look) *Model {
	m := small(look)
	press(m, "down", "enter")
	all := testProcesses(30)
	all[3].Command, all[3].User = hostile, hostile
	all[4].Command = strings.Repeat("漢字", 200)
	a := answerOf(noon, all...)
	a.Host, a.Note = 1, "/proc/7: "+hostile
	m.take(&Answers{Now: noon, Processes: a})
	return m
}

func TestProcessScreen(t *testing.T) {
	for _, size := range sizes {
		m := processesOf(look{unicode: true})
		m.resize(size.width, size.height)
		golden(t, fmt.Sprintf("processes-%dx%d", size.width, size.height), m)
	}
	m := processesOf(look{color: true})
	press(m, "T", "space", "down", "down")
	golden(t, "processes-tree-ascii", m)
	press(m, "right", "right", "right", "right", "right", "right", "right")
	golden(t, "processes-sideways", m)
	m = processesOf(look{unicode: true})
	press(m, "T", "p", "/", "p", "2", "7")
	golden(t, "processes-tree-filter", m)
	failed := &ProcessAnswer{Host: 1, At: noon.Add(time.Minute), Err: errors.New("connection reset")}
	m.take(&Answers{Now: noon.Add(62 * time.Second), Processes: failed})
	golden(t, "processes-lost", m)
	full := answerOf(noon, testProcesses(maxItems)...)
	full.Host, full.More, full.Sort = 1, true, "pid"
	press(m, "esc", "end")
	m.take(&Answers{Now: noon.Add(63 * time.Second), Processes: full})
	golden(t, "processes-more", m)
}

func TestFileScreen(t *testing.T) {
	m := processesOf(look{unicode: true})
	press(m, "p", "down", "f")
	golden(t, "files-asked", m)
	a := &FileAnswer{Host: 1, PID: 2, At: noon}
	for i := range 30 {
		a.Files = append(a.Files, dtc.OpenFile{
			PID: 2, User: "root", Command: "p2", FD: fmt.Sprint(i), Mode: "u", Type: "REG", Device: "254,0", SizeBytes: int64(i) << 20, Node: "7", Name: "/var/log/漢字/" + fmt.Sprint(i),
		})
	}
	a.Files[1].Name, a.Files[1].Command = hostile, hostile
	m.take(&Answers{Now: noon, Files: a})
	golden(t, "files-80x24", m)
	m.resize(60, 10)
	press(m, "/", "3", "enter", "down")
	golden(t, "files-60x10", m)
}

// The name of a user takes no more than its share, so that those of the files
// are to be seen.
func TestLongUserOfAFile(t *testing.T) {
	for _, user := range []string{strings.Repeat("u", 32), strings.Repeat("漢", 32), strings.Repeat("\x1b", 32)} {
		title, lines := fileLines([]dtc.OpenFile{{
			PID: 4194304, User: user, Command: "nginx-worker-process", FD: "123", Mode: "u", Lock: "W", Type: "REG", Device: "254,12", SizeBytes: 1 << 40, Node: "123456789", Name: "/srv/www",
		}})
		if at := strings.Index(title, "NAME"); at > 85 || render.Width(lines[0]) > 100 {
			t.Errorf("NAME begins at %d:\n%s\n%s", at, title, lines[0])
		}
	}
}

func TestHelpScreen(t *testing.T) {
	m := small(look{unicode: true})
	press(m, "?")
	golden(t, "help-80x24", m)
	m.resize(60, 10)
	press(m, "down", "down", "down")
	golden(t, "help-60x10", m)
}

// No size, no state and no name breaks the screen.
func TestEverySizeAndState(t *testing.T) {
	states := map[string]func() *Model{
		"hosts":     func() *Model { return small(look{color: true, unicode: true}) },
		"none":      func() *Model { return newModel(testHosts(hostile), time.Second, look{}) },
		"processes": func() *Model { return processesOf(look{color: true, unicode: true}) },
		"tree": func() *Model {
			m := processesOf(look{})
			press(m, "T")
			return m
		},
		"files": func() *Model {
			m := processesOf(look{color: true})
			press(m, "F")
			m.take(&Answers{Now: noon, Files: &FileAnswer{Host: 1, Files: []dtc.OpenFile{{Name: hostile}}, Note: hostile}})
			return m
		},
		"typing": func() *Model {
			m := small(look{})
			press(m, "/")
			m.paste(hostile)
			return m
		},
		"help": func() *Model {
			m := small(look{})
			press(m, "?", "j", "j", "j", "j")
			return m
		},
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			for _, width := range []int{1, 2, 3, 5, 9, 17, 23, 34, 39, 40, 41, 55, 61, 79, 80, 81, 97, 132, 255} {
				for _, height := range []int{1, 2, 3, 4, 5, 10, 24, 60} {
					m := state()
					m.resize(width, height)
					checkScreen(t, m.View(), width, height)
					press(m, "end", "right", "down", "pgup")
					checkScreen(t, m.View(), width, height)
					if column, row, _ := m.Cursor(); column >= width || row >= height {
						t.Errorf("%dx%d: the cursor is at %d,%d", width, height, column, row)
					}
				}
			}
		})
	}
}

// Without colors there are none; what is bold or reverse stays.
func TestNoColor(t *testing.T) {
	for _, m := range []*Model{small(look{unicode: true}), processesOf(look{unicode: true})} {
		for part := range strings.SplitSeq(m.View(), "\x1b[") {
			way, _, ok := strings.Cut(part, "m")
			if ok && strings.Trim(way, "0123456789;") == "" && way != "" && way != bold && way != reverse {
				t.Errorf("SGR %q", way)
			}
		}
	}
}
