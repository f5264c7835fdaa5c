package sshtunnel

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// FuzzHostSpec: the result is a host that can be dialled. Written out and parsed again, it is the
// same.
func FuzzHostSpec(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := parseHostSpec(text)
		if err != nil {
			return
		}
		if spec.host == "" || spec.port < 0 || spec.port > 65535 {
			t.Fatalf("%q is read as %+v", text, spec)
		}
		if spec.port == 0 || strings.HasPrefix(spec.user, "ssh://") {
			return
		}
		written := (&target{host: spec.host, port: spec.port, user: spec.user}).String()
		if spec.user == "" {
			written = strings.TrimPrefix(written, "@")
		}
		again, err := parseHostSpec(written)
		if err != nil || again != spec {
			t.Fatalf("%q is read as %+v, and that, written as %q, as %+v (%v)", text, spec, written, again,
				err)
		}
	})
}

// FuzzEndpoint: an endpoint that is written out and parsed again is the same.
func FuzzEndpoint(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		r, err := parseEndpoint(text)
		if err != nil {
			return
		}
		if again, err := parseEndpoint(r.String()); err != nil || again != r {
			t.Fatalf("%q is read as %+v, and that as %+v (%v)", text, r, again, err)
		}
		if strings.ContainsAny(r.host, "*;/@ \x00") {
			t.Fatalf("%q is read as %+v", text, r)
		}
	})
}

// FuzzConfig: reading any ssh_config ends, opens no other file and runs nothing. It gives a target,
// or an error that names a line.
func FuzzConfig(f *testing.F) {
	for _, seed := range configurations {
		f.Add(seed)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string) {
		if lower := strings.ToLower(text); strings.Contains(lower, "include") ||
			strings.Contains(lower, "bindaddress") {
			return // it would open other files, or ask for other hosts
		}
		r := &configReader{
			ctx: t.Context(), given: "gateway", name: "gateway", localUser: "ann", home: dir,
			found: settings{}, lookup: noHost,
			run: func(context.Context, string) (bool, error) { return false, nil },
		}
		err := r.parse(source{file: "config", active: true}, text)
		var fault *FileError
		if err != nil {
			if !errors.As(err, &fault) || fault.File != "config" || fault.Line < 1 ||
				fault.Line > strings.Count(text, "\n")+1 {
				t.Fatalf("%v does not name a line", err)
			}
			return
		}
		for keyword, found := range r.found {
			for _, d := range found {
				if len(d.words) == 0 || d.line < 1 {
					t.Fatalf("%s is %+v", keyword, d)
				}
			}
		}
		host, err := r.hostName()
		if err == nil {
			host, err = r.canonical(host)
		}
		if err != nil {
			return
		}
		resolved := &resolver{
			target: &target{host: host, given: "gateway", network: "tcp", logger: quiet()},
			cfg:    Config{Host: "gateway", ConfigFile: "config"},
			found:  &configuration{settings: r.found}, localUser: "ann", home: dir,
		}
		for _, step := range resolved.steps() {
			if err := step(); err != nil && !errors.As(err, &fault) {
				t.Fatalf("%v does not name a line", err)
			}
		}
		if resolved.acceptNew && !strings.Contains(strings.ToLower(text), "accept-new") {
			t.Fatal("new host keys are accepted")
		}
	})
}

// FuzzOpenSSHKey: whatever is in a key file, decrypting it ends with a key of the same kind or an
// error.
func FuzzOpenSSHKey(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte, passphrase string) {
		block, _ := pem.Decode(data)
		if block == nil {
			return
		}
		var k opensshKey
		var options struct {
			Salt   string
			Rounds uint32
		}
		if rest, ok := bytes.CutPrefix(block.Bytes, []byte(opensshMagic)); ok &&
			ssh.Unmarshal(rest, &k) == nil && ssh.Unmarshal([]byte(k.Options), &options) == nil &&
			options.Rounds > 2 {
			return // it would take too long
		}
		plain, err := decryptOpenSSH(block, []byte(passphrase))
		if err != nil {
			return
		}
		key, err := ssh.ParseRawPrivateKey(plain)
		if err != nil {
			return
		}
		if _, err := ssh.NewSignerFromKey(key); err != nil {
			t.Fatalf("%T cannot sign: %v", key, err)
		}
	})
}

// FuzzSOCKS: whatever a client of the proxy says, it is connected to a host and port, or refused.
func FuzzSOCKS(f *testing.F) {
	f.Fuzz(func(t *testing.T, said []byte) {
		client := struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(said), io.Discard}
		to, err := readSOCKS(client)
		if err != nil {
			return
		}
		if again, err := parseEndpoint(to.String()); err != nil || again != to || to.path != "" {
			t.Fatalf("%v leads to %+v (%v)", said, to, err)
		}
	})
}

// FuzzIncoming: a channel of the server is for a path or for a host and port, or it is an error.
func FuzzIncoming(f *testing.F) {
	f.Fuzz(func(t *testing.T, unix bool, payload []byte) {
		kind := incomingTCP
		if unix {
			kind = incomingUnix
		}
		at, err := parseIncoming(kind, payload)
		if err == nil && (unix != (at.path != "") || !unix && (at.port < 1 || at.port > 65535)) {
			t.Fatalf("%v is for %+v", payload, at)
		}
	})
}

// FuzzKnownHosts: whatever is in a known_hosts file, a key is known only if a line says so
// literally, and no revocation is missed.
func FuzzKnownHosts(f *testing.F) {
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"
	wanted, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		known, portless := &knownHosts{revoked: map[string]knownLine{}}, &knownHosts{portless: true}
		if err := known.parse("known_hosts", []byte(text), "[gateway]:2222", portless,
			"gateway"); err != nil {
			var fault *FileError
			if !errors.As(err, &fault) || fault.Line < 1 {
				t.Fatalf("%v does not name a line", err)
			}
			return
		}
		lines := strings.Split(text, "\n")
		for _, found := range slices.Concat(known.keys, known.authorities, portless.keys,
			portless.authorities) {
			if line := lines[found.line-1]; strings.Contains(line, "@revoked ") ||
				!strings.Contains(line, found.key.Type()) {
				t.Fatalf("%q is taken for the host's", line)
			}
		}
		_, revoked := known.revokes(wanted)
		for _, line := range lines {
			if fields := strings.Fields(line); len(fields) == 4 && fields[0] == "@revoked" &&
				strings.Join(fields[2:], " ") == key && !revoked {
				t.Fatalf("%q is overlooked", line)
			}
		}
	})
}

// FuzzPattern compares the patterns with a simple definition of them.
func FuzzPattern(f *testing.F) {
	f.Fuzz(func(t *testing.T, text, pattern string) {
		if len(text) > 12 || len(pattern) > 12 {
			return // the simple definition takes exponential time
		}
		if got, want := matchPattern(text, pattern), matchPlainly(text, pattern); got != want {
			t.Fatalf("%q matches %q: %v, want %v", text, pattern, got, want)
		}
	})
}

func matchPlainly(text, pattern string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return matchPlainly(text, pattern[1:]) || text != "" && matchPlainly(text[1:], pattern)
	default:
		return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) &&
			matchPlainly(text[1:], pattern[1:])
	}
}
