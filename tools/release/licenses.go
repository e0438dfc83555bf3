package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// licensePath is where the licenses of what the programs are linked with stand.
func (r *release) licensePath() string { return filepath.Join(r.stage, "THIRD-PARTY-LICENSES") }

// collectLicenses gathers the licenses of every module that any of the programs
// is linked with: they want to be there where the programs are.
func (r *release) collectLicenses(ctx context.Context) error {
	linked, err := r.linkedModules()
	if err != nil {
		return err
	}
	dirs, err := r.moduleDirs(ctx)
	if err != nil {
		return err
	}
	goroot, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("ask for GOROOT: %w", err)
	}
	dirs["Go's standard library"] = strings.TrimSpace(string(goroot))
	var text bytes.Buffer
	text.WriteString("dtc and dtc-agent are linked with what is named below; these are its licenses.\n")
	for _, name := range append([]string{"Go's standard library"}, linked...) {
		if err := appendLicenses(&text, name, dirs[name]); err != nil {
			return err
		}
	}
	return write(r.licensePath(), text.Bytes())
}

// linkedModules are the modules that any program for any target is linked with,
// as path@version, sorted.
func (r *release) linkedModules() ([]string, error) {
	linked := map[string]bool{}
	for _, t := range allTargets() {
		for _, p := range programs() {
			info, err := buildinfo.ReadFile(r.binary(t, p))
			if errors.Is(err, os.ErrNotExist) {
				continue // not among the targets
			}
			if err != nil {
				return nil, err
			}
			for _, m := range info.Deps {
				linked[m.Path+"@"+m.Version] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(linked)), nil
}

// moduleDirs returns where the sources of the modules are, by path@version.
func (r *release) moduleDirs(ctx context.Context) (map[string]string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-json=Path,Version,Dir", "all")
	cmd.Dir = r.root
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the modules: %w", err)
	}
	dirs := map[string]string{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var m struct{ Path, Version, Dir string }
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return dirs, nil
		case err != nil:
			return nil, err
		}
		dirs[m.Path+"@"+m.Version] = m.Dir
	}
}

// appendLicenses writes the licenses that stand in a module's folder. A module
// without one may not be linked.
func appendLicenses(text *bytes.Buffer, name, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("licenses of %s: %w", name, err)
	}
	found := false
	for _, file := range files {
		upper := strings.ToUpper(file.Name())
		if !file.Type().IsRegular() || !strings.HasPrefix(upper, "LICENSE") && !strings.HasPrefix(upper, "COPYING") &&
			!strings.HasPrefix(upper, "NOTICE") && !strings.HasPrefix(upper, "PATENTS") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(text, "\n%s\n%s: %s\n\n%s\n", strings.Repeat("=", 78), name, file.Name(), bytes.TrimSpace(data))
		found = true
	}
	if !found {
		return fmt.Errorf("licenses of %s: there is none in %s", name, dir)
	}
	return nil
}
