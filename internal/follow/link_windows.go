package follow

import (
	"path/filepath"
	"strings"

	"golang.org/x/sys/windows"
)

// diverted reports whether a link among the folders of path led to another
// place: whether the open file has another path than the one that it was opened
// by. The handle is asked, so that nobody can change the answer afterwards.
func diverted(h handle, path string) bool {
	final, ok := finalPath(h)
	if !ok {
		return false // not every file system behind this interface has paths
	}
	volume := filepath.VolumeName(path)
	rest := strings.ToLower(longNames(path)[len(volume):])
	// Before it stands the volume, which may have another name there: that of a
	// server for a drive, that of a drive for a volume's id.
	if !strings.HasSuffix(strings.ToLower(final), rest) {
		return true
	}
	return isDrive(volume) && isDrive(filepath.VolumeName(final)) &&
		!strings.EqualFold(volume, filepath.VolumeName(final)) && !substituted(volume)
}

// finalPath returns the path of an open file without any link.
func finalPath(h handle) (string, bool) {
	for size := uint32(300); ; {
		b := make([]uint16, size)
		n, err := windows.GetFinalPathNameByHandle(h, &b[0], size, 0)
		switch {
		case err != nil || n == 0:
			return "", false
		case n >= size:
			size = n + 1
			continue
		}
		final := windows.UTF16ToString(b[:n])
		if server, ok := strings.CutPrefix(final, `\\?\UNC\`); ok {
			return `\\` + server, true
		}
		return strings.TrimPrefix(final, `\\?\`), true
	}
}

// longNames replaces the short names of a path (PROGRA~1) by those that they
// stand for.
func longNames(path string) string {
	if !strings.Contains(path, "~") {
		return path
	}
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return path
	}
	b := make([]uint16, windows.MAX_LONG_PATH)
	n, err := windows.GetLongPathName(p, &b[0], uint32(len(b)))
	if err != nil || n == 0 || int(n) >= len(b) {
		return path
	}
	return windows.UTF16ToString(b[:n])
}

func isDrive(volume string) bool { return len(volume) == 2 && volume[1] == ':' }

// substituted reports whether a drive is a name for a folder of another one
// (subst), or for a server.
func substituted(drive string) bool {
	p, err := windows.UTF16PtrFromString(drive)
	if err != nil {
		return false
	}
	b := make([]uint16, windows.MAX_PATH)
	n, err := windows.QueryDosDevice(p, &b[0], uint32(len(b)))
	return err == nil && n > 0 && strings.HasPrefix(windows.UTF16ToString(b[:n]), `\??\`)
}
