package main

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"
)

// The part of CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/) that says
// which modules a program is linked with.
type (
	bill struct {
		Schema       string       `json:"$schema"`
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Timestamp  string     `json:"timestamp"`
		Component  component  `json:"component"`
		Properties []property `json:"properties,omitempty"`
	}
	component struct {
		Ref      string    `json:"bom-ref"`
		Type     string    `json:"type"`
		Name     string    `json:"name"`
		Version  string    `json:"version"`
		Scope    string    `json:"scope,omitempty"`
		Hashes   []hash    `json:"hashes,omitempty"`
		Licenses []license `json:"licenses,omitempty"`
		PURL     string    `json:"purl,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	license struct {
		License struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// billPath is where the bill of materials of a program is made.
func (r *release) billPath(t target, p program) string {
	return filepath.Join(r.dist(), fmt.Sprintf("%s_%s_%s_%s.cdx.json", p.name, r.plainVersion(), t.os, t.arch))
}

// bills writes the bill of materials of each program, from what the linker has
// written into it.
func (r *release) bills(context.Context) error {
	for _, t := range r.targets {
		for _, p := range programs() {
			data, err := r.bill(t, p)
			if err != nil {
				return err
			}
			if err := write(r.billPath(t, p), data); err != nil {
				return err
			}
		}
	}
	return nil
}

// bill is the bill of materials of one program.
func (r *release) bill(t target, p program) ([]byte, error) {
	data, err := os.ReadFile(r.binary(t, p))
	if err != nil {
		return nil, err
	}
	info, err := buildinfo.ReadFile(r.binary(t, p))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	self := component{
		Ref: p.name, Type: "application", Name: p.name, Version: r.version,
		Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}},
	}
	var own license
	own.License.ID = "Apache-2.0"
	self.Licenses = []license{own}
	b := bill{
		Schema: "http://cyclonedx.org/schema/bom-1.5.schema.json", Format: "CycloneDX", Spec: "1.5", Version: 1,
		Serial:   serial(sum),
		Metadata: metadata{Timestamp: r.time.Format(time.RFC3339), Component: self, Properties: properties(info)},
	}
	std := strings.TrimPrefix(strings.Fields(info.GoVersion)[0], "go")
	b.Components = []component{module("std", std)}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		b.Components = append(b.Components, module(m.Path, m.Version))
	}
	linked := dependency{Ref: p.name, DependsOn: []string{}}
	for _, c := range b.Components {
		linked.DependsOn = append(linked.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{linked}
	out, err := json.MarshalIndent(b, "", "  ")
	return append(out, '\n'), err
}

// module is a module of Go as a component; its name is also the package URL's.
func module(path, version string) component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return component{Ref: url, Type: "library", Name: path, Version: version, Scope: "required", PURL: url}
}

// serial is a number of the bill's own that is the same for the same program: a
// UUID of version 8 (RFC 9562), made of its hash.
func serial(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// properties tells how the program was built.
func properties(info *debug.BuildInfo) []property {
	all := []property{{"go:version", info.GoVersion}}
	for _, s := range info.Settings {
		all = append(all, property{"go:build:" + s.Key, s.Value})
	}
	return all
}
