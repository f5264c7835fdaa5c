//go:build unix

package sshtunnel

import (
	"os"
	"os/exec"
	"syscall"
)

// shellCommand returns a command line for the user's shell, as ssh runs it. It has a session of its
// own: it can be ended with all that it starts, and does not read the terminal.
func shellCommand(line string) (*exec.Cmd, error) {
	shell := os.Getenv("SHELL")
	if shell == "" {
		shell = "/bin/sh"
	}
	command := exec.Command(shell, "-c", line)
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return command, nil
}

// hangUp asks a command and all that it has started to end.
func hangUp(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGHUP) }

func kill(command *exec.Cmd) { _ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
