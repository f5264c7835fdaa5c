package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// process is a contestant in a process of its own, which serves loads until its input ends, and ends with it.
type process struct {
	title   string
	command *exec.Cmd
	input   io.WriteCloser
	remote  *loadgen.Remote
}

func startProcess(title, program string, args ...string) (*process, error) {
	p := &process{title: title, command: exec.Command(program, args...)}
	p.command.Stderr = os.Stderr
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", title, err)
	}
	p.input, p.remote = input, loadgen.NewRemote(input, output)
	return p, nil
}

func (p *process) name() string                                  { return p.title }
func (p *process) run(load loadgen.Load) (loadgen.Result, error) { return p.remote.Run(load) }

func (p *process) close() error {
	if err := errors.Join(p.input.Close(), p.command.Wait()); err != nil {
		return fmt.Errorf("%s: %w", p.title, err)
	}
	return nil
}
