package daemon

import (
	"fmt"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/testca"
)

// Stunnel is a running stunnel, one end of mutual TLS.
type Stunnel struct {
	*Process
	Address string // host:port where it accepts connections
}

// StartStunnel starts stunnel as the server's end, which forwards connections to address. With the
// option "client = yes" it is the client's end. It uses TLS 1.3 with the cipher suite that Go
// prefers, without session resumption. It writes its configuration to directory.
func StartStunnel(
	directory, address string, ca *testca.Authority, id testca.Identity, options ...string,
) (*Stunnel, error) {
	program, err := Find("stunnel4", "stunnel")
	if err != nil {
		return nil, err
	}
	options = append([]string{
		"verifyChain = yes",
		"CAfile = " + ca.File,
		"cert = " + id.CertFile,
		"key = " + id.KeyFile,
		"connect = " + address,
		"sslVersionMin = TLSv1.3",
		"ciphersuites = TLS_AES_128_GCM_SHA256",
		"sessionResume = no",
	}, options...)
	for range portAttempts {
		var s *Stunnel
		if s, err = startStunnel(program, directory, options); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func startStunnel(program, directory string, options []string) (*Stunnel, error) {
	port, err := FreePort()
	if err != nil {
		return nil, err
	}
	s := &Stunnel{Address: fmt.Sprint("127.0.0.1:", port)}
	lines := append([]string{
		"foreground = yes",
		"pid =",
		"debug = err",
		"[forward]",
		"accept = " + s.Address,
	}, options...)
	file, err := os.CreateTemp(directory, "stunnel-*.conf")
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(file.Name(), []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	if s.Process, err = Start(&logbuffer.Buffer{}, nil, program, file.Name()); err != nil {
		return nil, err
	}
	return s, s.Await(func() bool { return accepts("tcp", s.Address) })
}
