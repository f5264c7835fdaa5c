package stream

import (
	"bufio"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestOpenSSLClients: openssl s_client gets in with a certificate, with both versions of TLS.
// Without one it is told why not.
func TestOpenSSLClients(t *testing.T) {
	openssl := testpeer.Program(t, "openssl", "openssl")
	_, address, client := tlsServer(t, nil)
	with := []string{"-cert", client.CertFile, "-key", client.KeyFile}
	for name, c := range map[string]struct {
		arguments []string
		refusal   string // "": none
	}{
		"TLS 1.3":                        {append([]string{"-tls1_3"}, with...), ""},
		"TLS 1.2":                        {append([]string{"-tls1_2"}, with...), ""},
		"TLS 1.3, without a certificate": {[]string{"-tls1_3"}, "alert certificate required"},
		"TLS 1.2, without a certificate": {[]string{"-tls1_2"}, "alert handshake failure"},
		"TLS 1.1": {append([]string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, with...),
			"alert protocol version"},
	} {
		t.Run(name, func(t *testing.T) {
			arguments := append([]string{
				"s_client", "-connect", address, "-CAfile", client.CAFile, "-verify_return_error", "-brief",
			}, c.arguments...)
			command := exec.CommandContext(patient(t), openssl, arguments...)
			log := &logbuffer.Buffer{}
			command.Stderr = log
			stdin, err := command.StdinPipe()
			must.OK(t, err)
			stdout, err := command.StdoutPipe()
			must.OK(t, err)
			must.OK(t, command.Start())
			_, _ = io.WriteString(stdin, "hello\n") // an error: it has been refused already
			line, _ := bufio.NewReader(stdout).ReadString('\n')
			_ = stdin.Close()
			err = command.Wait()
			if c.refusal == "" && (line != "hello\n" || err != nil) ||
				c.refusal != "" && (line != "" || err == nil) {
				t.Errorf("%q, %v\n%s", line, err, log)
			}
			if !strings.Contains(log.String(), c.refusal) {
				t.Errorf("it is not told %q:\n%s", c.refusal, log)
			}
		})
	}
}
