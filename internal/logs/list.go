package logs

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// listFolders returns the folders of copies under root, by name.
func listFolders(root *os.Root) ([]string, error) {
	all, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range all {
		if d.IsDir() && !strings.HasPrefix(d.Name(), ".") {
			out = append(out, d.Name())
		}
	}
	return out, nil
}

// listTargets returns every copy in some folders, or in all: whatever has a
// side record, and plain files that are no process logs. They come in the
// order of the folders, and in each by alias.
func listTargets(root *os.Root, folders []string) ([]Target, error) {
	if len(folders) == 0 {
		var err error
		if folders, err = listFolders(root); err != nil {
			return nil, err
		}
	}
	var out []Target
	for _, folder := range folders {
		files, err := fs.ReadDir(root.FS(), folder)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		first := len(out)
		for _, f := range files {
			name := f.Name()
			if alias, ok := aliasOf(name); ok {
				name = alias
			}
			if f.Type().IsRegular() && checkAlias(name) == nil {
				out = append(out, Target{folder, name})
			}
		}
		slices.SortFunc(out[first:], func(a, b Target) int { return cmp.Compare(a.Alias, b.Alias) })
	}
	return slices.Compact(out), nil
}

// List returns the copies under dir (home/logs) from their files alone, for
// when the service does not run.
func List(dir string) ([]StreamInfo, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // nothing was written
	targets, err := listTargets(root, nil)
	if err != nil {
		return nil, err
	}
	out, names := make([]StreamInfo, 0, len(targets)), segmentNames{}
	for _, t := range targets {
		i, err := infoFromFiles(root, t, names)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			i.State, i.Reason = StreamDamaged, err.Error()
		}
		out = append(out, i)
	}
	return out, nil
}

// infoFromFiles is what the files of one copy say.
func infoFromFiles(root *os.Root, t Target, names segmentNames) (i StreamInfo, err error) {
	i = StreamInfo{Folder: t.Folder, Alias: t.Alias, State: StreamOffline}
	r, err := openReader(root, t, names)
	if err != nil {
		return i, err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	i.Size = sizeAt(root, t.Folder+"/"+t.Alias)
	length, _, err := r.end()
	if err != nil {
		return i, err
	}
	i.Received = length
	if r.plain {
		i.Size = r.row.size
		i.State, i.Reason = StreamDamaged, "it has no side record that can be used"
		return i, nil
	}
	m := &r.record.model
	i.Size += m.closedSize()
	i.Peer = m.header.peer
	if m.last.seq > 0 {
		i.Generation, i.Position = m.last.generation, m.position(length)
	}
	for _, u := range m.unverified {
		i.Unverified += u.to - u.from
	}
	return i, nil
}

// Owner returns the id of the agent that owns a copy under dir (home/logs).
func Owner(dir string, t Target) (peer string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close() // nothing was written
	h, err := readHead(root, t.Folder, t.Alias)
	if err != nil {
		return "", err
	}
	return h.peer, nil
}

// Targets returns the copies under dir (home/logs), by folder and alias.
func Targets(dir string) ([]Target, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() // nothing was written
	return listTargets(root, nil)
}
