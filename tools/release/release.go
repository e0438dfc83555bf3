package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// release is one release in the making.
type release struct {
	root    string // folder of the sources
	out     string // folder that is made
	version string // of the programs
	time    time.Time
	targets []target

	stage string // folder of what is put together, see make
}

// program is one of the two.
type program struct {
	name       string
	home       string // in its packages
	user       string // whom the service runs as
	summary    string
	about      string   // paragraphs of the packages' description
	next       string   // to do after it is installed
	sample     string   // configuration
	recommends []string // packages that it works better with
}

// programs are what a release consists of.
func programs() []program {
	return []program{
		{
			name: "dtc", home: "/var/lib/dtc", user: "root", sample: "monitor.xml",
			summary: "monitor of a fleet: status, process watch, followed logs",
			about: "DTC asks the hosts of a LAN for their processes, open files, memory, CPU\n" +
				"and more, watches processes, and keeps exact copies of followed log files.\n" +
				"This is the monitor; the hosts run dtc-agent.",
			next:       "'dtc init --home /var/lib/dtc', then 'systemctl enable --now dtc'",
			recommends: []string{"ca-certificates"}, // for notices over https
		},
		{
			name: "dtc-agent", home: "/var/lib/dtc-agent", user: "dtc-agent", sample: "agent.xml",
			summary: "agent of a DTC fleet on a monitored host",
			about: "DTC asks the hosts of a LAN for their processes, open files, memory, CPU\n" +
				"and more, watches processes, and keeps exact copies of followed log files.\n" +
				"This is the agent that runs on every monitored host. It starts no program\n" +
				"and writes nothing outside its home.",
			next: "the line that 'dtc invite' prints, with --home /var/lib/dtc-agent, then 'systemctl enable --now dtc-agent'",
		},
	}
}

// make makes all of it. Everything is put together in a folder of its own, and
// takes the place of out at the end, so that out is never half a release.
func (r *release) make(ctx context.Context) (err error) {
	if r.out, err = filepath.Abs(r.out); err != nil {
		return err
	}
	if r.root, err = filepath.Abs(r.root); err != nil {
		return err
	}
	if r.stage, err = os.MkdirTemp("", "dtc-release-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.stage)) }()
	if err := os.MkdirAll(r.dist(), 0o755); err != nil {
		return err
	}
	steps := []func(context.Context) error{
		r.build, r.documents, r.collectLicenses, r.bills, r.archives, r.packages, r.checksums, r.publish,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// dist is where the files of the release are made.
func (r *release) dist() string { return filepath.Join(r.stage, "dist") }

// binary is where a program has been built.
func (r *release) binary(t target, p program) string {
	name := p.name
	if t.os == "windows" {
		name += ".exe"
	}
	return filepath.Join(r.stage, "bin", t.os+"-"+t.arch, name)
}

// publish puts what was made in the place of out.
func (r *release) publish(context.Context) error {
	if err := os.MkdirAll(filepath.Dir(r.out), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.Rename(r.dist(), r.out); err == nil {
		return nil
	}
	return os.CopyFS(r.out, os.DirFS(r.dist())) // it is on another file system
}

// plainVersion is the version as it stands in the names of files.
func (r *release) plainVersion() string {
	return strings.TrimPrefix(r.version, "v")
}

// packageVersion is the version as packages sort it: that of a tag as it is,
// commits after a tag after it, releases to be before the release, and what has
// no tag before every release, in the order of time.
func (r *release) packageVersion() string {
	form := regexp.MustCompile(`^v?(\d+\.\d+\.\d+)(?:-((?:alpha|beta|rc)[.0-9]*))?(?:-(\d+)-g([0-9a-f]+))?(-dirty)?$`)
	m := form.FindStringSubmatch(r.version)
	if m == nil {
		commit := regexp.MustCompile(`[^0-9A-Za-z]+`).ReplaceAllString(r.version, ".")
		return fmt.Sprintf("0.0.0~%s.%s", r.time.Format("20060102150405"), commit)
	}
	version := m[1]
	if m[2] != "" {
		version += "~" + m[2]
	}
	if m[3] != "" || m[5] != "" {
		version += "+" + cmp.Or(m[3], "0")
	}
	if m[4] != "" {
		version += ".g" + m[4]
	}
	if m[5] != "" {
		version += ".dirty"
	}
	return version
}
