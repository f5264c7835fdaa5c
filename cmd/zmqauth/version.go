package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/pebbe/zmq4"
	"github.com/spf13/cobra"
)

// What a build without version control may be told by the linker, as docker/Dockerfile does:
//
//	go build -ldflags "-X main.linkedVersion=v1.2.3 -X main.linkedRevision=0123abc"
//
// They are empty otherwise.
var linkedVersion, linkedRevision string

// build is what the program knows about itself.
type build struct {
	version  string // of the module
	revision string // of version control; empty if unknown
	modified bool   // the files were not those of the revision
	goes     string // the version of Go
	libzmq   string
}

func thisBuild() build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return describeBuild(info, linkedVersion, linkedRevision)
}

// describeBuild takes what the linker was told before what the Go command has recorded.
func describeBuild(info *debug.BuildInfo, version, revision string) build {
	major, minor, patch := zmq4.Version()
	b := build{
		version: info.Main.Version,
		goes:    runtime.Version(),
		libzmq:  fmt.Sprintf("%d.%d.%d", major, minor, patch),
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.revision = setting.Value
		case "vcs.modified":
			b.modified = setting.Value == "true"
		}
	}
	if revision != "" {
		b.revision, b.modified = revision, false
	}
	if version != "" {
		b.version = version
	}
	if b.version == "" {
		b.version = "unknown"
	}
	return b
}

// text is what version and --version print.
func (b build) text() string {
	revision := b.revision
	switch {
	case revision == "":
		revision = "unknown"
	case b.modified:
		revision += " (modified)"
	}
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "zmqauth\t%s\nrevision\t%s\ngo\t%s\nlibzmq\t%s\n",
		b.version, revision, b.goes, b.libzmq)
	_ = w.Flush() // a Builder takes everything
	return text.String()
}

func newVersion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of this program, Go and libzmq",
		Long: "version prints the version of this program's module, the revision that it was built\n" +
			"from, and the versions of Go and of libzmq. --version prints the same.",
		Args:              cobra.ExactArgs(0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			out, b := newOutput(cmd), thisBuild()
			if out.json {
				return out.printJSON(struct {
					Version  string `json:"version"`
					Revision string `json:"revision,omitempty"`
					Modified bool   `json:"modified"`
					Go       string `json:"go"`
					Libzmq   string `json:"libzmq"`
				}{b.version, b.revision, b.modified, b.goes, b.libzmq})
			}
			_, err := fmt.Fprint(out.w, b.text())
			return err
		}),
	}
	addJSON(cmd)
	return cmd
}
