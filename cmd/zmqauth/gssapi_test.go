package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// TestGSSAPIProxy runs the commands proxy and connect with a real KDC.
func TestGSSAPIProxy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	testrealm.New(t, dir)
	endpoint := "ipc://" + filepath.Join(dir, "front")
	policy := "domain = d\n    gssapi = carol@" + testrealm.Name + "\n" +
		frontendConfig("f", "router", endpoint, "ipc://"+dir+"/back", "gssapi", "domain = d")
	must.OK(t, os.WriteFile(filepath.Join(dir, "policy.zpl"), []byte(policy), 0o600))
	command := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Env, c.Dir = testrealm.Environment(dir), dir
		return c
	}
	proxy := command("proxy", "--config", "policy.zpl")
	var log strings.Builder
	proxy.Stderr = &log
	must.OK(t, proxy.Start())
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
	output, err := command("connect", endpoint, "--service", testrealm.Service).CombinedOutput()
	if err != nil || string(output) != "accepted, with GSSAPI\n" {
		t.Errorf("carol: %v\n%s", err, output)
	}
	output, err = command("connect", endpoint, "--service", testrealm.Service,
		"--principal", testrealm.Ann).CombinedOutput()
	if err == nil || !strings.Contains(string(output), "it refuses this Kerberos principal") {
		t.Errorf("ann: %v\n%s", err, output)
	}
	must.OK(t, proxy.Process.Signal(syscall.SIGTERM))
	if err := proxy.Wait(); err != nil {
		t.Errorf("the proxy: %v", err)
	}
	for _, want := range []string{
		"accepted", "user=" + testrealm.CarolFull,
		"reason=" + zmqauth.ReasonUnknownPrincipal, "principal=" + testrealm.AnnFull,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, log.String())
		}
	}
}
