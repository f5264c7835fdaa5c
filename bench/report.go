package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/pebbe/zmq4"
)

// report writes results.md with all tables, and their plots beside it.
func report(directory string, tables []table) error {
	const plots = "plots"
	if err := os.MkdirAll(filepath.Join(directory, plots), 0o755); err != nil {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, `# Benchmark results

Made by `+"`make bench`"+`. Every figure is a ratio of two measurements that alternate in one run: its median over the repeats,
the least and the most of them, and what it has to be. Times themselves depend on the machine and are not shown.

%s.
`, strings.Join(versions(), ", "))
	for _, t := range tables {
		fmt.Fprintf(&text, "\n## %s\n\nShown: %s.\n\n", t.title, t.ratio)
		fmt.Fprint(&text, "| | | median | least to most | wanted | |\n|---|---|---:|---:|---:|---|\n")
		for _, f := range t.figures {
			fmt.Fprintf(&text, "| %s |\n", strings.Join(f.cells(), " | "))
		}
		fmt.Fprintf(&text, "\n![%s](%s/%s.svg)\n", t.title, plots, t.name)
		if err := t.plot(filepath.Join(directory, plots)); err != nil {
			return fmt.Errorf("plot %s: %w", t.name, err)
		}
	}
	return os.WriteFile(filepath.Join(directory, "results.md"), text.Bytes(), 0o644)
}

// versions tells what was measured, as far as it is installed.
func versions() []string {
	major, minor, patch := zmq4.Version()
	all := []string{
		fmt.Sprintf("%d processors", runtime.NumCPU()), runtime.Version(), fmt.Sprintf("libzmq %d.%d.%d", major, minor, patch),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		if i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == "github.com/pebbe/zmq4" }); i >= 0 {
			all = append(all, "zmq4 "+strings.TrimPrefix(info.Deps[i].Version, "v"))
		}
	}
	for _, v := range []struct {
		name    string
		command []string
	}{
		{"czmq", []string{"pkg-config", "--modversion", "libczmq"}},
		{"pyzmq", []string{python, "-c", "import zmq; print(zmq.__version__)"}},
	} {
		if out, err := exec.Command(v.command[0], v.command[1:]...).Output(); err == nil {
			all = append(all, v.name+" "+strings.TrimSpace(string(out)))
		}
	}
	return all
}
