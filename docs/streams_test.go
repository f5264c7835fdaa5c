package docs

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// walkTLS makes certificates, and runs a net.Conn server and a ZeroMQ server behind TLS.
func walkTLS(t *testing.T, r *reader) {
	testpeer.Program(t, "openssl", "openssl")
	w := newWalk(t, "7000", "7001", "7002", "7003", "8000")
	w.run(r.commands())
	w.run(r.commands())
	for _, port := range []string{"7000", "7001"} {
		w.write(r.file("go"))
		w.write(r.file("go"))
		w.start(r.commands())
		w.awaitPort(port)
		if out, want := w.run(r.commands()), r.output(); out != want {
			t.Errorf("the client says %q, want %q", out, want)
		}
		if port == "7000" {
			w.run(r.commands()) // the directories of the second
		}
	}
	walkTLSWithoutGo(w, r)
}

// walkTLSWithoutGo runs both ends of TLS between a web server and curl: by commands, and by a
// policy.
func walkTLSWithoutGo(w *walk, r *reader) {
	w.t.Helper()
	testpeer.Program(w.t, "curl", "curl")
	testpeer.Program(w.t, "python3", "python3")
	w.env = append(w.env, "no_proxy=*")
	w.run(r.commands())
	w.start(r.commands())
	w.awaitPort("8000")
	serve := w.start(r.commands())
	w.awaitPort("7002")
	connect := w.start(r.commands())
	w.awaitPort("7003")
	if out, want := w.run(r.commands()), r.output(); out != want {
		w.t.Errorf("curl says %q, want %q", out, want)
	}
	for _, command := range []*running{serve, connect} {
		command.signal(syscall.SIGTERM)
		testpeer.Eventually(w.t, "the command ends", func() bool {
			return strings.Contains(command.log.String(), `"zmqauth: a link has ended"`)
		})
	}
	w.write(r.file("zpl"))
	w.start(r.commands())
	w.awaitPort("7002")
	w.awaitPort("7003")
	expect(w.t, w.run(r.commands()), `links\.zpl: good, domains: 0, frontends: 0, links: 2\n`,
		`"healthy": true,\n +"frontends": `, `good morning\n$`)
}

// walkSSH runs a server behind a real sshd, with the configuration that the guide makes, and a
// client that goes through it.
func walkSSH(t *testing.T, r *reader) {
	testpeer.Program(t, "openssh-server", "sshd", "/usr/sbin/sshd")
	testpeer.Program(t, "openssh-client", "ssh-keygen")
	if os.Getuid() == 0 {
		must.OK(t, os.MkdirAll("/run/sshd", 0o755)) // as the guide says
	}
	w := newWalk(t, "5555", "2222", "7777")
	w.run(r.commands())
	w.write(r.file("go"))
	w.write(r.file("go"))
	w.run(r.commands()) // the gateway's keys and files
	w.start(r.commands())
	w.awaitPort("2222")
	w.start(r.commands())
	w.awaitPort("5555")
	if out, want := w.run(r.commands()), r.output(); out != want {
		t.Errorf("the client says %q, want %q", out, want)
	}
	w.start(r.commands())
	w.awaitPort("7777")
	if out, want := w.run(r.commands()), r.output(); out != want {
		t.Errorf("through the tunnel: %q, want %q", out, want)
	}
	_, said, err := w.try(r.commands())
	want := strings.TrimSpace(w.here(r.output()))
	if err == nil || !strings.Contains(said, want) {
		t.Errorf("with an empty known_hosts: %v, %q, want %q", err, said, want)
	}
}
