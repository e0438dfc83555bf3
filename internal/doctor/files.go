package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dtc/internal/config"
	"dtc/internal/follow"
)

// maxNamed is how many files are told one by one of each entry.
const maxNamed = 5

// filesPerStream is how many files are held of one that is followed: itself and
// one that was rotated.
const filesPerStream = 2

// Files looks at what is to be followed: whether it is there and may be read,
// what patterns match, whether two files come to one alias, and whether the
// system's limits are wide enough for them.
func Files(home string, files []config.File) Check {
	return Check{"files", func(ctx context.Context) []Finding {
		if len(files) == 0 {
			return []Finding{okf("no monitor_files are set: none is followed")}
		}
		l := &look{owner: map[string]string{}}
		for _, f := range files {
			if ctx.Err() != nil {
				break
			}
			path := f.Path
			if !filepath.IsAbs(path) {
				path = filepath.Join(home, path)
			}
			l.entry(f, filepath.Clean(path))
		}
		found := append([]Finding{okf("%d can be followed", l.good)}, l.found...)
		for _, f := range []Finding{watches(l.good), descriptors(filesPerStream * l.good)} {
			if f.Finding != "" {
				found = append(found, f)
			}
		}
		return found
	}}
}

// look is what has been found of files so far.
type look struct {
	found []Finding
	good  int
	owner map[string]string // path of an alias, compared without case
}

func (l *look) add(f Finding) { l.found = append(l.found, f) }

// entry looks at one file_alias.
func (l *look) entry(f config.File, path string) {
	if !f.Pattern() {
		if finding, ok := l.file(path, f.Alias); !ok {
			l.add(finding)
		}
		return
	}
	paths, _, err := follow.NewGlobber(path).Glob()
	if err != nil {
		l.add(warnf("let the agent read it", "line %d: %v", f.Line, err))
	}
	if len(paths) == 0 {
		l.add(warnf("is the pattern right? Files that come to be are followed from their first byte", "line %d: %s matches nothing", f.Line, f.Path))
	}
	wrong := 0
	for _, p := range paths {
		alias := strings.NewReplacer("{name}", filepath.Base(p), "{dir}", filepath.Base(filepath.Dir(p))).Replace(f.Alias)
		finding, ok := l.file(p, alias)
		if ok {
			continue
		}
		if wrong++; wrong <= maxNamed {
			l.add(finding)
		}
	}
	if wrong > maxNamed {
		l.add(badf("mend those first", "line %d: %d more files of %s cannot be followed", f.Line, wrong-maxNamed, f.Path))
	}
}

// file looks at one file; ok if it can be followed.
func (l *look) file(path, alias string) (_ Finding, ok bool) {
	if err := config.CheckAlias(alias); err != nil {
		return badf("give it another alias", "%s: alias %s: %v", path, alias, err), false
	}
	if other, taken := l.owner[config.AliasKey(alias)]; taken && other != path {
		return badf("give them aliases that differ, {dir}-{name} for example", "%s and %s both come to the alias %s", other, path, alias), false
	}
	l.owner[config.AliasKey(alias)] = path
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return warnf("is the path right? Once it is there it is followed from its first byte", "%s is not there", path), false
	case errors.Is(err, fs.ErrPermission):
		return badf("run it as root, or let this user read the folders above", "%s may not be looked at by this user", path), false
	case err != nil:
		return badf("", "%v", err), false
	case !info.Mode().IsRegular():
		return badf("only regular files are followed", "%s is %s", path, kind(info.Mode())), false
	}
	file, err := os.Open(path)
	if err != nil {
		return badf("run it as root, or let this user read it: setfacl -m u:USER:r "+path, "%s cannot be read by this user", path), false
	}
	_ = file.Close() // it was to show that it can be opened
	l.good++
	return Finding{}, true
}

// kind says what is no regular file.
func kind(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	default:
		return fmt.Sprintf("of the mode %s", mode)
	}
}
