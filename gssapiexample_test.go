package zmqauth

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// TestGSSAPIExample runs examples/gssapi against a real KDC.
func TestGSSAPIExample(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "gssapi")
	build := exec.Command("go", "build", "-o", program, "./examples/gssapi")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	testrealm.New(t, dir)
	start := func(args ...string) (wait func() (output, log string, err error)) {
		command := exec.CommandContext(t.Context(), program, args...)
		command.Env = testrealm.Environment(dir)
		var out, errs bytes.Buffer
		command.Stdout, command.Stderr = &out, &errs
		must.OK(t, command.Start())
		return func() (string, string, error) {
			err := command.Wait()
			return out.String(), errs.String(), err
		}
	}
	for _, test := range []struct {
		name   string
		args   []string
		output string // a regular expression
	}{
		{
			"the cache's principal", nil,
			`^accepted: "hello" from carol@ZMQAUTH\.TEST\nrefused: zmqauth: tcp://.*Kerberos.*\n$`,
		},
		{
			"a named one",
			[]string{"-principal", testrealm.Ann, "-service", testrealm.Service, "ann/*@ZMQAUTH.TEST"},
			`^accepted: "hello" from ann/client@ZMQAUTH\.TEST\nrefused: .*\n$`,
		},
		{"nobody", []string{"bob@ZMQAUTH.TEST"}, `^$`},
	} {
		t.Run(test.name, func(t *testing.T) {
			output, log, err := start(test.args...)()
			if (err == nil) != (test.output != `^$`) ||
				!regexp.MustCompile(test.output).MatchString(output) {
				t.Errorf("%v: %s\n%s", err, output, log)
			}
		})
	}
	t.Run("server and client", func(t *testing.T) {
		endpoint := "ipc://" + filepath.Join(dir, "socket")
		server, client := start("-bind", endpoint), start("-connect", endpoint)
		if output, log, err := client(); err != nil || output != "" {
			t.Fatalf("client: %v: %s\n%s", err, output, log)
		}
		want := "accepted: \"hello\" from " + testrealm.CarolFull + "\n"
		if output, log, err := server(); err != nil || output != want {
			t.Errorf("server: %v: %s\n%s", err, output, log)
		}
	})
}
