package zmqauth

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestGSSAPIProxy: the command's proxy and its connect against a real KDC. It is here for the realm.
func TestGSSAPIProxy(t *testing.T) {
	t.Parallel()
	kerberosTool(t, "krb5kdc")
	dir := t.TempDir()
	program := filepath.Join(dir, "zmqauth")
	if output, err := exec.Command("go", "build", "-o", program, "./cmd/zmqauth").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	newRealm(t, dir)
	endpoint := "ipc://" + filepath.Join(dir, "front")
	writePrivate(t, filepath.Join(dir, "policy.zpl"), "domain = d\n    gssapi = carol@"+realmName+"\nfrontend = f\n    type = router\n    bind = "+endpoint+
		"\n    backend = ipc://"+dir+"/back\n    mechanism = gssapi\n    domain = d\n")
	command := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), program, args...)
		c.Env, c.Dir = realmEnvironment(dir), dir
		return c
	}
	proxy := command("proxy", "--config", "policy.zpl")
	var log strings.Builder
	proxy.Stderr = &log
	must(t, proxy.Start())
	t.Cleanup(func() {
		if proxy.ProcessState == nil {
			_ = proxy.Process.Kill()
			_ = proxy.Wait()
		}
	})
	testpeer.Eventually(t, "the frontend is bound", func() bool {
		_, err := os.Lstat(filepath.Join(dir, "front"))
		return err == nil
	})
	if output, err := command("connect", endpoint, "--service", service).CombinedOutput(); err != nil || string(output) != "accepted, with GSSAPI\n" {
		t.Errorf("carol: %v\n%s", err, output)
	}
	if output, err := command("connect", endpoint, "--service", service, "--principal", ann).CombinedOutput(); err == nil || !strings.Contains(string(output), "it refuses this Kerberos principal") {
		t.Errorf("ann: %v\n%s", err, output)
	}
	must(t, proxy.Process.Signal(syscall.SIGTERM))
	if err := proxy.Wait(); err != nil {
		t.Errorf("the proxy: %v", err)
	}
	for _, want := range []string{"accepted", "user=" + carolFull, "reason=" + ReasonUnknownPrincipal, "principal=" + annFull} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log.String())
		}
	}
}
