package zmqauth

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestReadmePrograms builds the server and the client of the README as they stand there, but for the port, and takes the walk that it
// describes: the client gets in, and is refused once its certificate is removed.
func TestReadmePrograms(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	must(t, err)
	dir := t.TempDir()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	endpoint := "tcp://" + listener.Addr().String() // 5555 may be taken
	var programs []string
	for _, block := range strings.Split(string(readme), "```go\n")[1:] {
		code, _, _ := strings.Cut(block, "```")
		if strings.HasPrefix(code, "package main") {
			programs = append(programs, buildProgram(t, dir, strings.ReplaceAll(code, "tcp://127.0.0.1:5555", endpoint)))
		}
	}
	if len(programs) != 2 {
		t.Fatalf("%d programs in the README, want a server and a client", len(programs))
	}
	server := exec.Command(programs[0])
	server.Dir = dir
	must(t, server.Start())
	t.Cleanup(func() {
		must(t, server.Process.Kill())
		_ = server.Wait()
	})
	testpeer.Eventually(t, "the server has made the keys", func() bool {
		_, err := os.Stat(filepath.Join(dir, "keys/clients/ann.key"))
		return err == nil
	})
	client := func() string {
		command := exec.Command(programs[1])
		command.Dir = dir
		out, _ := command.CombinedOutput()
		return string(out)
	}
	if out := client(); !strings.HasPrefix(out, "hello operator, your key is ") {
		t.Errorf("the client says %q", out)
	}
	must(t, os.Remove(filepath.Join(dir, "keys/clients/ann.key")))
	testpeer.Eventually(t, "the client is refused", func() bool { return strings.Contains(client(), "access denied (status 400)") })
}

func buildProgram(t *testing.T, dir, code string) string {
	t.Helper()
	source, err := os.MkdirTemp(dir, "source")
	must(t, err)
	file := filepath.Join(source, "main.go")
	must(t, os.WriteFile(file, []byte(code), 0o600))
	program := filepath.Join(source, "program")
	if out, err := exec.Command("go", "build", "-o", program, file).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, code)
	}
	return program
}
