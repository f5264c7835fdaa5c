package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
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
	fmt.Fprintf(&text, introduction, strings.Join(versions(), ", "))
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

// introduction is the beginning of results.md, with the versions to be filled in.
const introduction = `# Benchmark results

Made by ` + "`make bench`" + `. Every figure is a ratio, of two measurements that alternate in ` +
	`one run or of one to what is fixed:
the 50 ms of a lookup, the 32 bytes of a key. Only memory and changes of a directory are ` +
	`compared with those of the smallest
one, which was measured before. What is counted for each decision or client is ` +
	`shown as it is, too. Shown are the median over the repeats, the least and the most of ` +
	`them, and what it has to be.
Times themselves depend on the machine and are not shown. goczmq's ` + "`Auth`" + ` is czmq's ` +
	"`zauth`" + `, called from Go.

%s.
`

// versions returns the versions of what is measured, as far as it is installed.
func versions() []string {
	major, minor, patch := zmq4.Version()
	all := []string{
		fmt.Sprintf("%d processors", runtime.NumCPU()),
		runtime.Version(),
		fmt.Sprintf("libzmq %d.%d.%d", major, minor, patch),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/pebbe/zmq4" {
				all = append(all, "zmq4 "+strings.TrimPrefix(m.Version, "v"))
			}
		}
	}
	for _, v := range []struct {
		name    string
		command []string
	}{
		{"czmq", []string{"pkg-config", "--modversion", "libczmq"}},
		{"pyzmq", []string{python, "-c", "import zmq; print(zmq.__version__)"}},
		{"stunnel", []string{"stunnel4", "-version"}},
		{"OpenSSH", []string{"ssh", "-V"}},
	} {
		out, err := exec.Command(v.command[0], v.command[1:]...).CombinedOutput()
		if number := versionNumber.FindString(string(out)); err == nil && number != "" {
			all = append(all, v.name+" "+number)
		}
	}
	return all
}

// versionNumber finds a version such as 9.2p1 in the output of a program.
var versionNumber = regexp.MustCompile(`[0-9]+\.[0-9][0-9a-z.]*`)
