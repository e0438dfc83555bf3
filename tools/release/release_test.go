package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"debug/buildinfo"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Made again of a copy of the sources elsewhere a release is the same, byte for
// byte, and sha256sum(1) finds it so.
func testAgain(t *testing.T, r *release) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "other place")
	skip := map[string]bool{".git": true, "bin": true, "dist": true}
	err := filepath.WalkDir(r.root, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(r.root, p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // of somebody who works there
		case err != nil:
			return err
		case d.IsDir() && (skip[rel] || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir():
			return os.MkdirAll(filepath.Join(root, rel), 0o755)
		case !d.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(root, rel), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	again := makeRelease(t, root, r.version)
	sums := func(r *release) string {
		data, err := os.ReadFile(filepath.Join(r.out, "checksums.txt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if a, b := sums(r), sums(again); a != b {
		t.Errorf("the checksums differ:\n%s\n%s", a, b)
	}
	check := exec.Command("sha256sum", "--strict", "--check", "checksums.txt")
	check.Dir = again.out
	if out, err := check.CombinedOutput(); err != nil || strings.Count(string(out), ": OK") != 7 {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

// The archive holds both programs and what belongs to them, owned by root.
func testArchive(t *testing.T, r *release) {
	t.Helper()
	f, err := os.Open(filepath.Join(r.out, "dtc_0.2.0-rc1_linux_amd64.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zr, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Uname != "root" || !h.ModTime.Equal(epoch()) {
			t.Errorf("%s is of %d (%s), at %s", h.Name, h.Uid, h.Uname, h.ModTime)
		}
		names = append(names, strings.TrimPrefix(h.Name, "dtc_0.2.0-rc1_linux_amd64/"))
	}
	if !slices.IsSorted(names) {
		t.Errorf("not in order: %q", names)
	}
	for _, want := range []string{
		"dtc", "dtc-agent", "LICENSE", "README.md", "CHANGELOG.md", "THIRD-PARTY-LICENSES", "conf/agent.xml", "conf/monitor.xml",
		"man/man1/dtc-logs.1", "man/man1/dtc-agent-run.1", "completions/bash/dtc", "completions/zsh/_dtc-agent",
		"completions/fish/dtc.fish", "completions/powershell/dtc-agent.ps1", "sbom/dtc.cdx.json", "docs/FOLLOWING.md",
	} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is missing", want)
		}
	}
}

// A bill of materials names every module that stands in the program, and no
// other.
func testBills(t *testing.T, r *release) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "dtc-agent")
	unpacked, err := exec.Command("tar", "-xOzf", filepath.Join(r.out, "dtc_0.2.0-rc1_linux_amd64.tar.gz"),
		"dtc_0.2.0-rc1_linux_amd64/dtc-agent").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, unpacked, 0o700); err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pkg:golang/std@" + strings.TrimPrefix(info.GoVersion, "go")}
	for _, m := range info.Deps {
		want = append(want, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	data, err := os.ReadFile(filepath.Join(r.out, "dtc-agent_0.2.0-rc1_linux_amd64.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	checkSchema(t, data)
	var b cyclonedx.BOM // as others read it
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(data), cyclonedx.BOMFileFormatJSON).Decode(&b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range *b.Components {
		got = append(got, c.PackageURL)
	}
	if !slices.Equal(got, want) || len(got) < 5 {
		t.Errorf("components %q, want %q", got, want)
	}
	if b.Metadata.Component.Version != "v0.2.0-rc1" || !slices.Equal(*(*b.Dependencies)[0].Dependencies, got) {
		t.Errorf("it says\n%s", data)
	}
	out, err := exec.Command(program, "version").Output()
	if err != nil || string(out) != "dtc-agent v0.2.0-rc1\n" {
		t.Errorf("its version: %q, %v", out, err)
	}
}

// checkSchema checks a bill against the schema of CycloneDX 1.5, which stands
// among the sources of its library for Go.
func checkSchema(tb testing.TB, data []byte) {
	tb.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	for name, file := range map[string]string{
		"bom-1.5.schema.json": "bom-1.5.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json",
	} {
		text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "schema", file))
		if err != nil {
			tb.Fatal(err)
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			tb.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+name, schema); err != nil {
			tb.Fatal(err)
		}
	}
	schema, err := c.Compile("http://cyclonedx.org/schema/bom-1.5.schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	bill, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	if err := schema.Validate(bill); err != nil {
		tb.Errorf("the bill is not one by the schema: %v", err)
	}
}

// Versions of packages come in the order in which they were made, as dpkg sorts
// them.
func TestPackageVersions(t *testing.T) {
	order := []string{
		"0.0.0~20261122212912.a2fc666", "1.2.0~rc1", "1.2.0~rc1+4.g0a1b2c3", "1.2.0", "1.2.0+0.dirty", "1.2.0+3.gabc1234", "1.2.1",
	}
	for i, version := range []string{"a2fc666", "v1.2.0-rc1", "v1.2.0-rc1-4-g0a1b2c3", "v1.2.0", "1.2.0-dirty", "v1.2.0-3-gabc1234", "v1.2.1"} {
		r := &release{version: version, time: epoch()}
		if got := r.packageVersion(); got != order[i] {
			t.Errorf("%s: %s, want %s", version, got, order[i])
		}
		if i > 0 {
			if err := exec.Command("dpkg", "--compare-versions", order[i-1], "lt", order[i]).Run(); err != nil {
				t.Errorf("dpkg: %s is not less than %s", order[i-1], order[i])
			}
		}
	}
	if got := (&release{version: "devel-dirty", time: epoch()}).packageVersion(); got != "0.0.0~20261122212912.devel.dirty" {
		t.Errorf("devel-dirty: %s", got)
	}
}

// An archive for Windows unpacks elsewhere, with the modes and the time.
func TestZip(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	data, err := packZip([]entry{{"top/dtc.exe", file, 0o755}, {"top/README.md", file, 0o644}}, epoch())
	if err != nil {
		t.Fatal(err)
	}
	zr, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"dtc.exe -rwxr-xr-x", "README.md -rw-r--r--"} {
		f := zr.File[i]
		if got := path.Base(f.Name) + " " + f.Mode().String(); got != want || !f.Modified.Equal(epoch()) {
			t.Errorf("%s at %s, want %s", got, f.Modified, want)
		}
	}
}

func TestTargets(t *testing.T) {
	if all, err := parseTargets(""); err != nil || len(all) != 6 {
		t.Errorf("%v, %v", all, err)
	}
	if some, err := parseTargets("linux/arm64,windows/amd64"); err != nil || !slices.Equal(some, []target{{"linux", "arm64"}, {"windows", "amd64"}}) {
		t.Errorf("%v, %v", some, err)
	}
	if _, err := parseTargets("plan9/386"); err == nil {
		t.Error("no error for a system that there is no release for")
	}
}
