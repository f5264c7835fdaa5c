package fleetfile

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// EngineFile is the file of an engine.
type EngineFile struct {
	Path  string // of the file
	Name  string
	Fleet string

	Listen        string   // HOST:PORT for servers and administrators; the host may be *
	ClusterListen string   // the same for the other engines; empty: there are none
	Peers         []string // the other engines, HOST:PORT each
	Store         string   // the directory of the data; relative to the file
	Members       string   // the list of members; relative to the file

	CA *x509.Certificate

	public      string
	seed        secret
	certificate []byte // DER
	key         secret // PKCS 8 in base64
}

// ReadEngine reads the file of an engine. The error joins one for each fault, with its line, and
// repeats no secret.
func ReadEngine(path string) (*EngineFile, error) {
	root, _, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	e := &EngineFile{Path: path}
	var seed, key string
	var ca []byte
	err = readEntries(path, 0, root.Children, []entry{
		{name: string(natsstore.RoleEngine), set: text(&e.Name, CheckName), required: true},
		{name: "fleet", set: text(&e.Fleet, CheckName), required: true},
		{name: "listen", set: text(&e.Listen, checkListen), required: true},
		{name: "cluster-listen", set: text(&e.ClusterListen, checkListen)},
		{name: "peer", many: true, set: func(value string) error {
			e.Peers = append(e.Peers, value)
			return checkAddress(value)
		}},
		{name: "store", set: text(&e.Store, nil), required: true},
		{name: "members", set: text(&e.Members, nil), required: true},
		{name: "ca", set: binary(&ca), required: true},
		{name: "certificate", set: binary(&e.certificate), required: true},
		{name: "key", required: true, set: text(&key, func(value string) error {
			e.key = secret(value)
			return nil
		})},
		{name: "nkey", required: true, set: text(&seed, func(value string) (err error) {
			e.seed = secret(value)
			e.public, err = parseSeed(value)
			return err
		})},
	})
	if err == nil && (e.ClusterListen == "") != (len(e.Peers) == 0) {
		err = fmt.Errorf("%s: cluster-listen and peer: both or none", path)
	}
	if err == nil {
		if e.CA, err = x509.ParseCertificate(ca); err != nil {
			err = fmt.Errorf("%s: ca: not a certificate", path)
		}
	}
	if err != nil {
		return nil, err
	}
	if e.Store, err = below(path, e.Store); err == nil {
		e.Members, err = below(path, e.Members)
	}
	return e, err
}

// below is the absolute path of what a file names.
func below(file, path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	return filepath.Abs(filepath.Join(filepath.Dir(file), path))
}

// checkListen tells whether a text is HOST:PORT to listen at. The host may be *.
func checkListen(text string) error {
	host, port, err := net.SplitHostPort(text)
	if _, wrong := strconv.ParseUint(port, 10, 16); err != nil || wrong != nil ||
		host != "*" && !isHost(host) {
		return fmt.Errorf("%.80q: not HOST:PORT or *:PORT", text)
	}
	return nil
}

// isHost tells whether a text is an address or can be a name.
func isHost(text string) bool {
	return net.ParseIP(text) != nil || text != "" && len(text) <= 253 &&
		!strings.ContainsFunc(text, func(c rune) bool {
			return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
				c == '-' || c == '.' || c == '_')
		})
}

// Certificate is the certificate of the engine with its key.
func (e *EngineFile) Certificate() (tls.Certificate, error) {
	var der []byte
	if err := binary(&der)(string(e.key)); err != nil {
		return tls.Certificate{}, fmt.Errorf("%s: key: %w", e.Path, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	leaf, bad := x509.ParseCertificate(e.certificate)
	private, isECDSA := key.(*ecdsa.PrivateKey)
	switch {
	case err != nil || !isECDSA:
		return tls.Certificate{}, fmt.Errorf("%s: key: not a private key", e.Path)
	case bad != nil:
		return tls.Certificate{}, fmt.Errorf("%s: certificate: not a certificate", e.Path)
	case !private.PublicKey.Equal(leaf.PublicKey):
		return tls.Certificate{}, fmt.Errorf("%s: the key is not that of the certificate", e.Path)
	}
	return tls.Certificate{Certificate: [][]byte{e.certificate, e.CA.Raw}, PrivateKey: private,
		Leaf: leaf}, nil
}

func (e *EngineFile) write() error {
	root := new(zpl.Node)
	root.Add(string(natsstore.RoleEngine), e.Name)
	root.Add("fleet", e.Fleet)
	root.Add("listen", e.Listen)
	if len(e.Peers) > 0 {
		root.Add("cluster-listen", e.ClusterListen)
	}
	for _, peer := range e.Peers {
		root.Add("peer", peer)
	}
	root.Add("store", e.Store)
	root.Add("members", e.Members)
	root.Add("ca", encodeBinary(e.CA.Raw))
	root.Add("certificate", encodeBinary(e.certificate))
	root.Add("key", string(e.key))
	root.Add("nkey", string(e.seed))
	return write(e.Path, fmt.Sprintf("The engine %s of the fleet %s. It is secret: give it, and the "+
		"list of members,\nto that engine alone. zmqauth-engine %s runs it.\n", e.Name, e.Fleet,
		filepath.Base(e.Path)), root, true)
}

// Format writes the name for every verb: an engine has secrets.
func (e *EngineFile) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "engine %s", e.Name) }

// Nkey is the public nkey.
func (e *EngineFile) Nkey() string { return e.public }

// Check tells whether the list of members fits the engine.
func (e *EngineFile) Check(m *Members) error {
	switch {
	case m.Fleet != e.Fleet:
		return fmt.Errorf("%s is of the fleet %s, and the engine of %s", e.Members, m.Fleet, e.Fleet)
	case !m.has(e.Name, natsstore.RoleEngine, e.public):
		return fmt.Errorf("%s does not have this engine, %s, with its nkey", e.Members, e.Name)
	case len(m.Signers()) == 0:
		return errors.New(e.Members + " has no administrator")
	}
	return nil
}

func (m *Members) has(name string, role natsstore.Role, nkey string) bool {
	return slices.ContainsFunc(m.List, func(k Known) bool {
		return k.Name == name && k.Role == role && k.Nkey == nkey
	})
}
