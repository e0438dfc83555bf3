// Command release makes what a release of DTC consists of, in one folder: an
// archive for each system with both programs, packages for Debian and for
// RPM's systems, a bill of materials for each program, and the checksums of all.
//
// It is the same, byte for byte, wherever and whenever it is made of the same
// sources by the same version of Go: times come from -epoch, owners are root,
// and nothing of the machine that it runs on gets in.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	root := f.String("root", "../..", "folder of the sources")
	out := f.String("out", "../../dist", "folder to make; one that is there is replaced")
	version := f.String("version", "devel", "what the programs call their version")
	epoch := f.Int64("epoch", 0, "seconds since 1970 that all files bear as their time")
	only := f.String("only", "", "OS/ARCH[,OS/ARCH…] instead of all")
	if err := f.Parse(args); err != nil {
		return err
	}
	targets, err := parseTargets(*only)
	if err != nil {
		return err
	}
	r := &release{root: *root, out: *out, version: *version, time: time.Unix(*epoch, 0).UTC(), targets: targets}
	began := time.Now()
	if err := r.make(ctx); err != nil {
		return err
	}
	return r.report(time.Since(began))
}

// report prints what has been made.
func (r *release) report(took time.Duration) error {
	files, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	for _, file := range files {
		info, err := file.Info()
		if err != nil {
			return err
		}
		fmt.Printf("%10d  %s\n", info.Size(), filepath.Join(filepath.Base(r.out), file.Name()))
	}
	fmt.Printf("version %s, packages %s; %d files in %.0f s\n", r.version, r.packageVersion(), len(files), took.Seconds())
	return nil
}

// target is a system that the programs are made for, as Go calls it.
type target struct{ os, arch string }

func (t target) String() string { return t.os + "/" + t.arch }

// allTargets are what a release is for.
func allTargets() []target {
	var all []target
	for _, goos := range []string{"linux", "windows", "darwin"} {
		for _, arch := range []string{"amd64", "arm64"} {
			all = append(all, target{goos, arch})
		}
	}
	return all
}

// parseTargets reads a list like linux/amd64,darwin/arm64; empty means all.
func parseTargets(list string) ([]target, error) {
	if list == "" {
		return allTargets(), nil
	}
	var chosen []target
	for item := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(allTargets(), func(t target) bool { return t.String() == item })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: expected some of %v", item, allTargets())
		}
		chosen = append(chosen, allTargets()[i])
	}
	return chosen, nil
}
