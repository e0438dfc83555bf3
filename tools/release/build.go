package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// build builds both programs for every target, and for this machine, which
// says what stands in them.
func (r *release) build(ctx context.Context) error {
	for _, t := range append([]target{r.host()}, r.targets...) {
		for _, p := range programs() {
			if _, err := os.Stat(r.binary(t, p)); err == nil {
				continue
			}
			if err := r.buildOne(ctx, t, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// host is this machine.
func (*release) host() target { return target{runtime.GOOS, runtime.GOARCH} }

// buildOne builds one program. What the environment could change of it is set.
func (r *release) buildOne(ctx context.Context, t target, p program) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w -X main.version="+r.version, "-o", r.binary(t, p), "./cmd/"+p.name)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "GOOS="+t.os, "GOARCH="+t.arch, "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOEXPERIMENT=", "GOWORK=off", "GODEBUG=", "GOFIPS140=off")
	return tell(cmd)
}

// tell runs a program, and says what it said if it fails.
func tell(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}

// completions are the shells, the name that each wants its script under, and
// where packages for Linux put it.
type completion struct {
	shell, name, dir string
}

func completions() []completion {
	return []completion{
		{"bash", "%s", "/usr/share/bash-completion/completions"},
		{"zsh", "_%s", "/usr/share/zsh/vendor-completions"},
		{"fish", "%s.fish", "/usr/share/fish/vendor_completions.d"},
		{"powershell", "%s.ps1", ""},
	}
}

// documents has the programs write their manual pages, completions and units.
func (r *release) documents(ctx context.Context) error {
	for _, p := range programs() {
		program := r.binary(r.host(), p)
		if err := tell(exec.CommandContext(ctx, program, "man", "--date", r.time.Format("2006-01-02"), r.manDir(p))); err != nil {
			return err
		}
		unit := []string{"service", "unit", "--exec", "/usr/bin/" + p.name, "--home", p.home}
		if p.user != "root" {
			unit = append(unit, "--user", p.user)
		}
		if err := save(exec.CommandContext(ctx, program, unit...), r.unitPath(p)); err != nil {
			return err
		}
		for _, c := range completions() {
			if err := save(exec.CommandContext(ctx, program, "completion", c.shell), r.completionPath(p, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

// manDir is where the manual pages of a program are made.
func (r *release) manDir(p program) string { return filepath.Join(r.stage, "man", p.name) }

// unitPath is where the unit of a program is made.
func (r *release) unitPath(p program) string {
	return filepath.Join(r.stage, "units", p.name+".service")
}

// completionPath is where the script for a shell is made.
func (r *release) completionPath(p program, c completion) string {
	return filepath.Join(r.stage, "completions", c.shell, fmt.Sprintf(c.name, p.name))
}

// save runs a program and writes its output to a file.
func save(cmd *exec.Cmd, path string) error {
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", strings.Join(cmd.Args, " "), err)
	}
	return write(path, out)
}

// write writes a file, and the folders that it is in.
func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644) //nolint:gosec // G306: a release is for everybody
}
