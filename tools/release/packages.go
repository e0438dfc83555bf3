package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"
)

// scripts are what the packages run when they come and go, for both programs:
// @NAME@ stands for the one, @HOME@ for its home, @NEXT@ for
// what to do after it is installed, @USER@ for whom the service runs as.
//
//go:embed deb rpm
var scripts embed.FS

// maintainer is who the packages name; .invalid is nobody's (RFC 2606).
const maintainer = "DTC maintainers <maintainers@dtc.invalid>"

// packager is a form of packages.
type packager struct {
	form     string
	useradd  string // what useradd(8) comes with
	pack     nfpm.Packager
	fileName func(p program, version, arch string) string
	zsh      string // folder of completions that is another than Debian's
}

// packagers are the forms of packages that are made.
func packagers() []packager {
	return []packager{
		{
			form: "deb", pack: deb.Default, useradd: "passwd",
			fileName: func(p program, version, arch string) string {
				return fmt.Sprintf("%s_%s_%s.deb", p.name, version, arch)
			},
			zsh: "/usr/share/zsh/vendor-completions",
		},
		{
			form: "rpm", pack: rpm.DefaultRPM, useradd: "/usr/sbin/useradd",
			fileName: func(p program, version, arch string) string {
				return fmt.Sprintf("%s-%s-1.%s.rpm", p.name, version, map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[arch])
			},
			zsh: "/usr/share/zsh/site-functions",
		},
	}
}

// packages makes a package of each program and form for every Linux target.
func (r *release) packages(context.Context) error {
	for _, t := range r.targets {
		if t.os != "linux" {
			continue
		}
		for _, p := range programs() {
			for _, k := range packagers() {
				if err := r.pack(t, p, k); err != nil {
					return fmt.Errorf("%s of %s for %s: %w", k.form, p.name, t, err)
				}
			}
		}
	}
	return nil
}

// pack makes one package.
func (r *release) pack(t target, p program, k packager) error {
	contents, err := r.contents(t, p, k)
	if err != nil {
		return err
	}
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: p.name, Arch: t.arch, Platform: "linux", Version: r.packageVersion(), VersionSchema: "none",
		Section: "admin", Priority: "optional", Maintainer: maintainer, License: "Apache-2.0",
		Description: p.summary + "\n" + p.about, MTime: r.time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Umask: 0o022, Contents: contents, Depends: []string{k.useradd}, Recommends: p.recommends,
			Deb: nfpm.Deb{Compression: "gzip"},
			RPM: nfpm.RPM{BuildHost: "localhost", Summary: p.summary, Group: "System Environment/Daemons", Compression: "gzip"},
		},
	})
	if err := r.maintain(info, p, k); err != nil {
		return err
	}
	var out bytes.Buffer
	if err := k.pack.Package(info, &out); err != nil {
		return err
	}
	return write(filepath.Join(r.dist(), k.fileName(p, r.packageVersion(), t.arch)), out.Bytes())
}

// maintain gives a package its scripts.
func (r *release) maintain(info *nfpm.Info, p program, k packager) error {
	places := map[string]*string{
		"preinst": &info.Scripts.PreInstall, "postinst": &info.Scripts.PostInstall,
		"prerm": &info.Scripts.PreRemove, "postrm": &info.Scripts.PostRemove,
	}
	names, err := fs.ReadDir(scripts, k.form)
	if err != nil {
		return err
	}
	for _, name := range names {
		text, err := scripts.ReadFile(k.form + "/" + name.Name())
		if err != nil {
			return err
		}
		text = []byte(strings.NewReplacer("@NAME@", p.name, "@HOME@", p.home, "@NEXT@", p.next, "@USER@", p.user).Replace(string(text)))
		path := filepath.Join(r.stage, "scripts", k.form, p.name, name.Name())
		if err := write(path, text); err != nil {
			return err
		}
		*places[name.Name()] = path
	}
	return nil
}

// contents lists the files of a package. Its home belongs to it, empty: what
// will stand there is the host's.
func (r *release) contents(t target, p program, k packager) (files.Contents, error) {
	doc := "/usr/share/doc/" + p.name
	all := files.Contents{
		{Source: r.binary(t, p), Destination: "/usr/bin/" + p.name, FileInfo: &files.ContentFileInfo{Mode: 0o755}},
		{Source: r.unitPath(p), Destination: "/usr/lib/systemd/system/" + p.name + ".service", FileInfo: &files.ContentFileInfo{Mode: 0o644}},
		{Destination: p.home, Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o750}},
	}
	add := func(source, destination string) {
		all = append(all, &files.Content{Source: source, Destination: destination, FileInfo: &files.ContentFileInfo{Mode: 0o644}})
	}
	for _, c := range completions() {
		switch c.shell {
		case "powershell": // not a shell of packages
		case "zsh":
			add(r.completionPath(p, c), k.zsh+"/"+fmt.Sprintf(c.name, p.name))
		default:
			add(r.completionPath(p, c), c.dir+"/"+fmt.Sprintf(c.name, p.name))
		}
	}
	pages, err := filepath.Glob(filepath.Join(r.manDir(p), "*"))
	if err != nil {
		return nil, err
	}
	for _, page := range pages {
		packed, err := r.compress(page, p.name)
		if err != nil {
			return nil, err
		}
		add(packed, "/usr/share/man/man1/"+filepath.Base(page)+".gz")
	}
	changelog, err := r.changelog(p, k)
	if err != nil {
		return nil, err
	}
	copyright, err := r.copyright(p)
	if err != nil {
		return nil, err
	}
	licenses, err := r.compress(r.licensePath(), p.name)
	if err != nil {
		return nil, err
	}
	if k.form == "deb" {
		overrides, err := r.overrides(p)
		if err != nil {
			return nil, err
		}
		add(overrides, "/usr/share/lintian/overrides/"+p.name)
	} else {
		add(filepath.Join(r.root, "LICENSE"), doc+"/LICENSE")
	}
	add(changelog, doc+"/"+filepath.Base(changelog))
	add(copyright, doc+"/copyright")
	add(licenses, doc+"/THIRD-PARTY-LICENSES.gz")
	add(filepath.Join(r.root, "README.md"), doc+"/README.md")
	add(filepath.Join(r.root, "README.zh-CN.md"), doc+"/README.zh-CN.md")
	add(filepath.Join(r.root, "conf", p.sample), doc+"/examples/"+p.sample)
	add(r.billPath(t, p), doc+"/"+p.name+".cdx.json")
	docs, err := filepath.Glob(filepath.Join(r.root, "docs", "*.md"))
	if err != nil {
		return nil, err
	}
	for _, file := range docs {
		add(file, doc+"/docs/"+filepath.Base(file))
	}
	return all, nil
}

// compress makes a file's .gz, without a name and a time, as packages want it.
func (r *release) compress(path, program string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := zw.Write(data); err != nil {
		return "", err
	}
	if err := zw.Close(); err != nil {
		return "", err
	}
	packed := filepath.Join(r.stage, "compressed", program, filepath.Base(path)+".gz")
	return packed, write(packed, out.Bytes())
}

// changelog makes a package's changelog: in Debian's form the one entry that
// dpkg's tools read, else the project's own.
func (r *release) changelog(p program, k packager) (string, error) {
	if k.form != "deb" {
		return filepath.Join(r.root, "CHANGELOG.md"), nil
	}
	text := fmt.Sprintf("%s (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md in the project, and README.md beside this.\n\n -- %s  %s\n",
		p.name, r.packageVersion(), maintainer, r.time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	path := filepath.Join(r.stage, "changelog", p.name, "changelog")
	if err := write(path, []byte(text)); err != nil {
		return "", err
	}
	return r.compress(path, p.name)
}

// copyright makes a package's copyright file. What the program is linked with
// stands in a file of its own.
func (r *release) copyright(p program) (string, error) {
	path := filepath.Join(r.stage, "copyright", p.name)
	return path, write(path, []byte(`Copyright 2026 the authors of DTC

License: Apache-2.0
 Licensed under the Apache License, Version 2.0: you may not use it except in
 compliance with the License, which stands in LICENSE of the sources, on Debian in
 /usr/share/common-licenses/Apache-2.0, and at
 http://www.apache.org/licenses/LICENSE-2.0. It is distributed on an "AS IS" BASIS,
 WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.

The program is linked with other works; THIRD-PARTY-LICENSES.gz beside this file
has their licenses.
`))
}

// overrides tells lintian(1) what is meant as it is.
func (r *release) overrides(p program) (string, error) {
	path := filepath.Join(r.stage, "lintian", p.name)
	return path, write(path, fmt.Appendf(nil, `# One file that needs nothing else, on every Linux.
%[1]s: statically-linked-binary [usr/bin/%[1]s]
# It holds keys.
%[1]s: non-standard-dir-perm 0750 != 0755 [%[2]s/]
`, p.name, strings.TrimPrefix(p.home, "/")))
}
