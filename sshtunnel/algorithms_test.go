//go:build unix

package sshtunnel

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestPubkeyAcceptedAlgorithms: a key of another type is not offered.
func TestPubkeyAcceptedAlgorithms(t *testing.T) {
	server := newSSHD(t)
	dir := t.TempDir()
	rsa := newKey(t, filepath.Join(dir, "rsa"), "-t", "rsa", "-b", "2048")
	server.authorize(t, rsa+".pub")
	cfg := server.config(t)
	cfg.KeyFile, cfg.Agent = "", "none"
	try := func(lines string) Config {
		cfg := cfg
		cfg.ConfigFile = configFile(t, "IdentityFile "+server.UserKey()+"\nIdentityFile "+rsa+"\n"+lines)
		return cfg
	}
	must.OK(t, open(t, try("PubkeyAcceptedAlgorithms rsa-sha2-256\n")).Err())
	server.logged(t, "Accepted publickey for "+server.User, 1)
	server.logged(t, "ssh2: RSA SHA256:", 1)
	must.OK(t, open(t, try("PubkeyAcceptedAlgorithms -*ed25519*\n")).Err())
	server.logged(t, "ssh2: RSA SHA256:", 2)
	must.OK(t, open(t, try("PubkeyAcceptedAlgorithms ssh-ed25519\n")).Err())
	server.logged(t, "ssh2: ED25519 SHA256:", 1)
	openFails(t, try("PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256\n"),
		"PubkeyAcceptedAlgorithms has no algorithm for a key of type ssh-ed25519")
	openFails(t, try("PubkeyAcceptedAlgorithms rsa*\nRequiredRSASize 4096\n"),
		"an RSA key of 2048 bits; RequiredRSASize asks for 4096")
}

// TestHostKeyLimits: RequiredRSASize is about the host's key, CASignatureAlgorithms about who has
// signed its certificate.
func TestHostKeyLimits(t *testing.T) {
	dir := t.TempDir()
	host := newKey(t, filepath.Join(dir, "host"), "-t", "rsa", "-b", "2048")
	authority := newKey(t, filepath.Join(dir, "authority"))
	keygen(t, "-q", "-s", authority, "-I", "gateway", "-h", "-n", "127.0.0.1", host+".pub")
	server := newSSHD(t, "HostKey "+host, "HostCertificate "+host+"-cert.pub")
	cfg := server.config(t)
	cfg.known(t, "@cert-authority * "+readText(t, authority+".pub"))
	cfg.ConfigFile = configFile(t, "CASignatureAlgorithms ssh-ed25519\nRequiredRSASize 2048\n")
	must.OK(t, open(t, cfg).Err())
	cfg.ConfigFile = configFile(t, "CASignatureAlgorithms ecdsa*\n")
	if err := openFails(t, cfg, "signed with ssh-ed25519"); !errors.Is(err, ErrHostCertificate) {
		t.Error(err)
	}
	cfg.ConfigFile = configFile(t, "RequiredRSASize 3072\n")
	openFails(t, cfg, "the host key has 2048 bits; RequiredRSASize asks for 3072")
}
