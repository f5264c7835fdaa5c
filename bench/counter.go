package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// counter is a program that counts what another one does.
type counter struct {
	command []string       // goes before the other; the file for the result is appended to its end
	count   *regexp.Regexp // finds the number in that file
	adapt   bool           // the other must be adapted to valgrind
}

var perfCount = regexp.MustCompile(`(?m)^(\d+),`)

// The counters of each kind. The first that works is used: perf counts instructions only where the
// processor's counters can be read, and system calls only for root.
var (
	instructionCounters = []counter{
		{[]string{"perf", "stat", "-x,", "-e", "instructions:u", "-o", ""}, perfCount, false},
		{[]string{"valgrind", "--tool=cachegrind", "--cache-sim=no",
			"--fair-sched=try", "--cachegrind-out-file=/dev/null", "--log-file="},
			regexp.MustCompile(`I +refs: +([\d,]+)`), true},
	}
	// strace holds up the program at each call, so that more requests wait for the next one.
	callCounters = []counter{
		{[]string{"perf", "stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o", ""}, perfCount, false},
		{[]string{"strace", "-f", "-c", "-o", ""},
			regexp.MustCompile(`(?m)^ *[\d.]+ +[\d.]+ +\d+ +(\d+)\b.* total$`), false},
	}
)

// findCounter returns the first counter that works here. The error matches errMissing.
func findCounter(all []counter) (counter, error) {
	var names []string
	for _, c := range all {
		_, err := c.run(exec.Command("true"), func(command *exec.Cmd) error { return command.Run() })
		if err == nil {
			return c, nil
		}
		names = append(names, c.command[0])
	}
	return counter{}, fmt.Errorf("counting with %s: %w, or not allowed",
		strings.Join(names, " or "), errMissing)
}

// run has a command counted that use starts and ends.
func (c counter) run(command *exec.Cmd, use func(*exec.Cmd) error) (count float64, err error) {
	directory, err := os.MkdirTemp("", "zmqauth-bench")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(directory)) }()
	result, program := filepath.Join(directory, "count"), command.Path
	if c.adapt {
		program = filepath.Join(directory, filepath.Base(command.Path))
		if err := adaptToValgrind(command.Path, program); err != nil {
			return 0, err
		}
	}
	args := slices.Clone(c.command)
	args[len(args)-1] += result
	counted := exec.Command(args[0], append(append(args[1:], program), command.Args[1:]...)...)
	log := &logbuffer.Buffer{}
	counted.Env, counted.Stderr = command.Env, log
	if err := use(counted); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", args[0], err, log)
	}
	return c.read(result)
}

// Go's runtime reads the processor's clock so, on amd64: RDTSCP; SHLQ $32, DX; ADDQ DX, AX.
// valgrind 3.19 does not know the first instruction. It knows RDTSC.
var (
	clockOfGo      = []byte("\x0f\x01\xf9\x48\xc1\xe2\x20\x48\x01\xd0")
	clockOfCounter = []byte("\x0f\x31\x90\x48\xc1\xe2\x20\x48\x01\xd0") // 90 is NOP
)

// adaptToValgrind copies a program.
func adaptToValgrind(program, to string) error {
	code, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	return os.WriteFile(to, bytes.ReplaceAll(code, clockOfGo, clockOfCounter), 0o700)
}

// read reads the number from the file.
func (c counter) read(file string) (float64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	found := c.count.FindSubmatch(text)
	if found == nil {
		return 0, fmt.Errorf("%s: no number in %q", c.command[0], text)
	}
	return strconv.ParseFloat(strings.ReplaceAll(string(found[1]), ",", ""), 64)
}
