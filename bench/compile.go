package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/daemon"
)

// compile builds a program from the load generator and a source, which may be empty. With the flag
// -shared it builds a library. The result is put into the setup's directory and not built again if
// it is there. The libraries are pkg-config's names.
func (w *setup) compile(
	name, source string, libraries []string, flags ...string,
) (path string, err error) {
	path = filepath.Join(w.directory, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	gcc, err := daemon.Find("gcc")
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	query := append([]string{"--cflags", "--libs"}, libraries...)
	linked, err := exec.Command("pkg-config", query...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: pkg-config and the headers of %s",
			name, errMissing, strings.Join(libraries, ", "))
	}
	directory := filepath.Join(w.directory, name+"-source")
	if err := os.CopyFS(directory, loadgen.Sources); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(directory, name+".c"), []byte(source), 0o600); err != nil {
		return "", err
	}
	args := append([]string{"-O2", "-o", path, "client.c", "serve.c", "echo.c", name + ".c"}, flags...)
	command := exec.Command(gcc, append(args, strings.Fields(string(linked))...)...)
	command.Dir = directory
	if out, err := command.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: gcc: %w\n%s", name, err, out)
	}
	return path, nil
}
