package main

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// The least programs that have a ZAP handler: with zmq4 alone, and with zmqauth.
const (
	zmq4Program = `package main

import "github.com/pebbe/zmq4"

func main() {
	if err := zmq4.AuthStart(); err != nil {
		panic(err)
	}
	zmq4.AuthCurveAdd("global", zmq4.CURVE_ALLOW_ANY)
}
`
	rootProgram = `package main

import (
	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

func main() {
	ctx, err := zmq4.NewContext()
	if err != nil {
		panic(err)
	}
	a, err := zmqauth.New(ctx, nil)
	if err != nil {
		panic(err)
	}
	if err := a.ConfigureCurve("global", zmqauth.CurveAllowAny); err != nil {
		panic(err)
	}
	if err := a.Start(); err != nil {
		panic(err)
	}
}
`
)

// measureSizes measures what it costs to build a program with zmqauth, how large it is, and what a
// proxy with many idle clients takes.
func measureSizes() ([]table, error) {
	all, err := measureBuilds()
	if err != nil {
		return nil, err
	}
	more, err := measureIdle(idleClients, idleRepeats, idleTime)
	return append(all, more...), err
}

// measureBuilds builds each program once, with an empty cache.
func measureBuilds() (_ []table, err error) {
	var e ends
	defer func() { err = errors.Join(err, e.close()) }()
	directory, err := e.directory()
	if err != nil {
		return nil, err
	}
	programs, err := buildPrograms(directory, func(name string) string {
		return "GOCACHE=" + filepath.Join(directory, "cache-"+name)
	})
	if err != nil {
		return nil, err
	}
	tool := filepath.Join(directory, "tool")
	if err := goBuild(nil, tool, toolPackage); err != nil {
		return nil, err
	}
	size, err := sizeOf(tool)
	if err != nil {
		return nil, err
	}
	zmq4, root := programs[0], programs[1]
	return []table{
		{"size-build", "go build of the least program with a ZAP handler, without a cache",
			"time, times that with zmq4 alone",
			[]figure{{"the package", "zmqauth", []float64{root.took / zmq4.took}, bound{}}}},
		{"size-binary", "The program that go build makes", "size, times that with zmq4 alone",
			[]figure{
				{"the package", "zmqauth", []float64{root.size / zmq4.size}, bound{}},
				{"the tool", "zmqauth", []float64{size / zmq4.size}, bound{}},
			}},
	}, nil
}

// built is a program: the seconds that it took to build it, and its bytes.
type built struct{ took, size float64 }

// buildPrograms builds the program with zmq4 alone, and the one with zmqauth. environment may be
// nil.
func buildPrograms(
	directory string, environment func(name string) string,
) (all []built, err error) {
	for _, p := range []struct{ name, text string }{{"zmq4", zmq4Program}, {"root", rootProgram}} {
		source, binary := filepath.Join(directory, p.name+".go"), filepath.Join(directory, p.name)
		if err := os.WriteFile(source, []byte(p.text), 0o600); err != nil {
			return nil, err
		}
		var more []string
		if environment != nil {
			more = []string{environment(p.name)}
		}
		begun := time.Now()
		if err := goBuild(more, binary, source); err != nil {
			return nil, err
		}
		took := time.Since(begun).Seconds()
		size, err := sizeOf(binary)
		if err != nil {
			return nil, err
		}
		all = append(all, built{took, size})
	}
	return all, nil
}

func sizeOf(file string) (float64, error) {
	info, err := os.Stat(file)
	if err != nil {
		return 0, err
	}
	return float64(info.Size()), nil
}
