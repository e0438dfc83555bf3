package events

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"dtc"
)

// dateLayout is the day in a file's name.
const dateLayout = time.DateOnly

// inProcessLog says whether an event stands in its host's process log, and not
// in the hidden file of everything else.
func inProcessLog(e *dtc.Event) bool {
	switch e.Kind {
	case dtc.EventProcess:
		return true
	case dtc.EventHost:
		return e.State == dtc.StateReachable || e.State == dtc.StateUnreachable || e.State == dtc.StateStopped
	default:
		return false
	}
}

// series names the files of one kind and host: all of them, but for the date
// and the ending.
type series struct {
	folder string
	prefix string
}

func processSeries(folder string, port uint16) series {
	return series{folder, folder + "_" + strconv.Itoa(int(port)) + "_process_"}
}

// eventSeries is hidden: no alias of a followed log begins with a dot.
func eventSeries(folder string) series {
	return series{folder, "." + folder + "_events_"}
}

func (s series) file(date string) string { return s.prefix + date + ".log" }

// checkFolder makes sure that a folder is one plain name under logs/.
func checkFolder(folder string) error {
	if folder == "" || folder[0] == '.' || strings.ContainsAny(folder, "/\\:\x00") || folder != filepath.Base(folder) {
		return fmt.Errorf("record an event in the folder %q: that is no name of a host's folder", folder)
	}
	return nil
}

// logFile is one file with events.
type logFile struct {
	folder string
	name   string
	date   string // YYYY-MM-DD, of the lines
}

// parseName tells the files with events from all others in a host's folder.
func parseName(folder, name string) (logFile, bool) {
	stem, ok := strings.CutSuffix(name, ".log")
	if !ok || len(stem) < len(dateLayout) {
		return logFile{}, false
	}
	prefix, date := stem[:len(stem)-len(dateLayout)], stem[len(stem)-len(dateLayout):]
	if _, err := time.Parse(dateLayout, date); err != nil {
		return logFile{}, false
	}
	if prefix != eventSeries(folder).prefix && !isProcessPrefix(folder, prefix) {
		return logFile{}, false
	}
	return logFile{folder, name, date}, true
}

func isProcessPrefix(folder, prefix string) bool {
	port, ok := strings.CutPrefix(prefix, folder+"_")
	if !ok {
		return false
	}
	port, ok = strings.CutSuffix(port, "_process_")
	if !ok {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// ofProcesses says whether a file is a process log.
func (f logFile) ofProcesses() bool { return f.name[0] != '.' }

func (f logFile) path(dir string) string { return filepath.Join(dir, f.folder, f.name) }

// listFolder returns the files with events in one host's folder.
func listFolder(dir, folder string) ([]logFile, error) {
	entries, err := os.ReadDir(filepath.Join(dir, folder))
	if err != nil {
		return nil, err
	}
	var files []logFile
	for _, entry := range entries {
		if f, ok := parseName(folder, entry.Name()); ok && entry.Type().IsRegular() {
			files = append(files, f)
		}
	}
	return files, nil
}

// listFolders returns the hosts' folders in dir; none if there is no dir yet.
func listFolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the hosts in %s: %w", dir, err)
	}
	var folders []string
	for _, entry := range entries {
		if entry.IsDir() && checkFolder(entry.Name()) == nil {
			folders = append(folders, entry.Name())
		}
	}
	return folders, nil
}

// listAll returns all files with events from a day on, oldest day first.
func listAll(dir, from string) ([]logFile, error) {
	folders, err := listFolders(dir)
	if err != nil {
		return nil, err
	}
	var files []logFile
	for _, folder := range folders {
		some, err := listFolder(dir, folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list the events of a host: %w", err)
		}
		for _, f := range some {
			if f.date >= from {
				files = append(files, f)
			}
		}
	}
	slices.SortFunc(files, compareFiles)
	return files, nil
}

func compareFiles(a, b logFile) int {
	return cmp.Or(cmp.Compare(a.date, b.date), cmp.Compare(a.folder, b.folder), cmp.Compare(a.name, b.name))
}
