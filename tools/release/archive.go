package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// entry is a file of an archive.
type entry struct {
	name   string // with slashes
	source string
	mode   fs.FileMode
}

// archives makes the archive of each target.
func (r *release) archives(context.Context) error {
	for _, t := range r.targets {
		name := fmt.Sprintf("dtc_%s_%s_%s", r.plainVersion(), t.os, t.arch)
		entries, err := r.entries(t, name)
		if err != nil {
			return err
		}
		pack, suffix := packTar, ".tar.gz"
		if t.os == "windows" {
			pack, suffix = packZip, ".zip"
		}
		data, err := pack(entries, r.time)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := write(filepath.Join(r.dist(), name+suffix), data); err != nil {
			return err
		}
	}
	return nil
}

// entries lists what goes into the archive of a target, in a folder top, in the
// order of names.
func (r *release) entries(t target, top string) ([]entry, error) {
	var all []entry
	add := func(name, source string, mode fs.FileMode) {
		all = append(all, entry{path.Join(top, name), source, mode})
	}
	for _, p := range programs() {
		add(filepath.Base(r.binary(t, p)), r.binary(t, p), 0o755)
		add("conf/"+p.sample, filepath.Join(r.root, "conf", p.sample), 0o644)
		add("sbom/"+p.name+".cdx.json", r.billPath(t, p), 0o644)
		pages, err := filepath.Glob(filepath.Join(r.manDir(p), "*"))
		if err != nil {
			return nil, err
		}
		for _, page := range pages {
			add("man/man1/"+filepath.Base(page), page, 0o644)
		}
		for _, c := range completions() {
			file := r.completionPath(p, c)
			add("completions/"+c.shell+"/"+filepath.Base(file), file, 0o644)
		}
	}
	for _, name := range projectFiles() {
		add(name, filepath.Join(r.root, name), 0o644)
	}
	docs, err := filepath.Glob(filepath.Join(r.root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for _, doc := range docs {
		add("docs/"+filepath.Base(doc), doc, 0o644)
	}
	add("THIRD-PARTY-LICENSES", r.licensePath(), 0o644)
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// projectFiles are the files of the project that go into every archive.
func projectFiles() []string {
	return []string{"README.md", "README.zh-CN.md", "CHANGELOG.md", "LICENSE"}
}

// packTar makes a .tar.gz. Its owner is root, whoever makes it.
func packTar(entries []entry, mtime time.Time) ([]byte, error) {
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, gzip.BestCompression) // its header has no time and no name
	if err != nil {
		return nil, err
	}
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		data, err := os.ReadFile(e.source)
		if err != nil {
			return nil, err
		}
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(data)), Mode: int64(e.mode), ModTime: mtime,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
		}
		if err := tw.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := tw.Write(data); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// packZip makes a .zip.
func packZip(entries []entry, mtime time.Time) ([]byte, error) {
	var out bytes.Buffer
	zw := zip.NewWriter(&out)
	for _, e := range entries {
		data, err := os.ReadFile(e.source)
		if err != nil {
			return nil, err
		}
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: mtime}
		h.SetMode(e.mode)
		w, err := zw.CreateHeader(h)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, err
		}
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// checksums writes the SHA-256 of all that was made, as sha256sum(1) checks it.
func (r *release) checksums(context.Context) error {
	files, err := os.ReadDir(r.dist())
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(r.dist(), file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%x  %s\n", sha256.Sum256(data), file.Name())
	}
	return write(filepath.Join(r.dist(), "checksums.txt"), []byte(text.String()))
}
