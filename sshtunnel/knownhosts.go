package sshtunnel

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/files"
)

// This package does not use package knownhosts of x/crypto, which refuses the whole file for one
// line that it cannot parse. It also separates the port from the host, so that "*" and
// "[gateway]:*" do not match what they match for ssh. It takes an authority's key for a host's key.
// And it cannot list the keys of a host, which decide which algorithms to ask the server for.

// knownHosts is what known_hosts files say about one host (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
type knownHosts struct {
	keys        []knownLine // the host's own
	authorities []knownLine // those that may sign certificates for the host
	// portless means that the lines are for the host without its port. Another key there does not
	// mean that the key has changed.
	portless bool
	revoked  map[string]knownLine
	files    []string // all files, whether they exist or not
	unread   []string // FILE:LINE of the lines that could not be parsed
}

// knownLine is a key and the line that it is on.
type knownLine struct {
	file string
	line int
	key  ssh.PublicKey
}

func (l knownLine) describe() KnownKey {
	fingerprint := ssh.FingerprintSHA256(l.key)
	return KnownKey{File: l.file, Line: l.line, Type: l.key.Type(), Fingerprint: fingerprint}
}

// loadKnownHosts reads the lines for a host. It looks for name, which may have a port. If there is
// no line for it, it looks for plainName, the host without the port, as ssh does. A file that does
// not exist counts as empty.
func loadKnownHosts(
	files []string, name, plainName string, logger *slog.Logger,
) (*knownHosts, error) {
	found := &knownHosts{revoked: map[string]knownLine{}, files: files}
	portless := &knownHosts{revoked: found.revoked, files: files, portless: true}
	for _, file := range files {
		data, err := readTextFile(file, maxKnownHosts)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = found.parse(file, data, name, portless, plainName)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, place := range found.unread {
		logger.Debug("sshtunnel: a line of known_hosts that cannot be read is left out", "file", place)
	}
	if plainName != "" && len(found.keys) == 0 && len(found.authorities) == 0 {
		portless.unread = found.unread
		return portless, nil
	}
	return found, nil
}

// parse adds the lines of a file for name to k, and those for plainName to portless. It skips lines
// that it cannot parse, as ssh does. But an @revoked line that it cannot parse is an error: the key
// might be the server's.
func (k *knownHosts) parse(
	file string, data []byte, name string, portless *knownHosts, plainName string,
) error {
	for i, text := range bytes.Split(data, []byte("\n")) {
		line, err := parseKnownLine(text)
		switch {
		case err != nil && isRevocation(text):
			return &FileError{File: file, Line: i + 1, Err: err}
		case err != nil:
			k.unread = append(k.unread, place(file, i+1))
			continue
		case line == nil:
			continue
		}
		at := knownLine{file: file, line: i + 1, key: line.key}
		if line.marker == "revoked" {
			k.revoked[string(line.key.Marshal())] = at
			continue
		}
		k.add(at, line, name)
		portless.add(at, line, plainName)
	}
	return nil
}

func isRevocation(text []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(text, blanks), []byte("@revoked"))
	return ok && (len(rest) == 0 || strings.IndexByte(blanks+"\r", rest[0]) >= 0)
}

func (k *knownHosts) add(at knownLine, line *parsedLine, name string) {
	if name == "" || !line.matches(name) {
		return
	}
	if line.marker == "cert-authority" {
		k.authorities = append(k.authorities, at)
	} else {
		k.keys = append(k.keys, at)
	}
}

// loadRevoked adds the keys of the RevokedHostKeys file. As in ssh, it is an error if the file does
// not exist.
func (k *knownHosts) loadRevoked(file string) error {
	data, err := readFile(file, maxKnownHosts)
	if err != nil {
		return err
	}
	if bytes.HasPrefix(data, []byte("SSHKRL\n\x00")) {
		fault := errors.New("a revocation list in ssh-keygen's binary format is not supported; " +
			"write one public key a line")
		return &FileError{File: file, Err: fault}
	}
	if line, err := files.CheckText(data); err != nil {
		return &FileError{File: file, Line: line, Err: err}
	}
	for i, text := range bytes.Split(data, []byte("\n")) {
		if text = bytes.TrimSpace(text); len(text) == 0 || text[0] == '#' {
			continue
		}
		key, _, _, _, err := ssh.ParseAuthorizedKey(text)
		if err != nil {
			return &FileError{File: file, Line: i + 1, Err: errors.New("not a public key")}
		}
		if certificate, ok := key.(*ssh.Certificate); ok {
			key = certificate.Key
		}
		k.revoked[string(key.Marshal())] = knownLine{file: file, line: i + 1, key: key}
	}
	return nil
}

// revokes reports whether a key is revoked. A certificate is revoked if its key or its authority's
// key is.
func (k *knownHosts) revokes(key ssh.PublicKey) (knownLine, bool) {
	keys := []ssh.PublicKey{key}
	if certificate, ok := key.(*ssh.Certificate); ok {
		keys = append(keys, certificate.Key, certificate.SignatureKey)
	}
	for _, key := range keys {
		if at, ok := k.revoked[string(key.Marshal())]; ok {
			return at, true
		}
	}
	return knownLine{}, false
}

func (k *knownHosts) find(lines []knownLine, key ssh.PublicKey) (knownLine, bool) {
	i := slices.IndexFunc(lines, func(l knownLine) bool {
		return bytes.Equal(l.key.Marshal(), key.Marshal())
	})
	if i < 0 {
		return knownLine{}, false
	}
	return lines[i], true
}

// parsedLine is one line of a known_hosts file.
type parsedLine struct {
	marker string // "", "revoked", "cert-authority"
	hosts  []string
	key    ssh.PublicKey
}

// parseKnownLine parses a line. It returns nil for an empty line or a comment.
func parseKnownLine(text []byte) (*parsedLine, error) {
	text = bytes.Trim(text, blanks+"\r")
	if len(text) == 0 || text[0] == '#' {
		return nil, nil
	}
	marker, hosts, key, _, _, err := ssh.ParseKnownHosts(text)
	if err != nil {
		return nil, errors.New("not a host and a public key of a known type")
	}
	if marker != "" && marker != "revoked" && marker != "cert-authority" {
		return nil, fmt.Errorf("@%s is neither @cert-authority nor @revoked", marker)
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return nil, errors.New("a certificate where a public key is wanted")
	}
	line := &parsedLine{marker: marker, hosts: hosts, key: key}
	if strings.HasPrefix(hosts[0], "|") {
		if _, _, err := decodeHashed(hosts[0]); err != nil || len(hosts) != 1 {
			return nil, errors.New("not a hashed host name")
		}
		return line, nil
	}
	for i, host := range hosts {
		hosts[i] = strings.ToLower(host)
	}
	return line, nil
}

// isPlainName reports whether a name at the beginning of a line of known_hosts stands for itself
// alone: it is neither a pattern, a list, a hash, a marker nor a comment.
func isPlainName(name string) bool {
	special := func(c rune) bool {
		return strings.ContainsRune(",*?!|", c) || unicode.IsSpace(c) || unicode.IsControl(c)
	}
	return name != "" && name[0] != '#' && name[0] != '@' && !strings.ContainsFunc(name, special)
}

// matches reports whether the line is about the host. name must be in lower case.
func (l *parsedLine) matches(name string) bool {
	if strings.HasPrefix(l.hosts[0], "|") {
		salt, sum, err := decodeHashed(l.hosts[0])
		return err == nil && hmac.Equal(hashName(name, salt), sum)
	}
	return matchList(name, l.hosts)
}

// decodeHashed parses |1|SALT|HASH.
func decodeHashed(text string) (salt, sum []byte, err error) {
	parts := strings.Split(text, "|")
	if len(parts) != 4 || parts[1] != "1" {
		return nil, nil, errors.New("not |1|SALT|HASH")
	}
	if salt, err = base64.StdEncoding.DecodeString(parts[2]); err != nil {
		return nil, nil, err
	}
	sum, err = base64.StdEncoding.DecodeString(parts[3])
	return salt, sum, err
}

func hashName(name string, salt []byte) []byte {
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return mac.Sum(nil)
}
