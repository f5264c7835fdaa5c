package fleetfile

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"time"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Member is the file of a server or of an administrator.
type Member struct {
	Path    string         // of the file
	Role    natsstore.Role // of a server or an administrator
	Name    string
	Fleet   string
	Bucket  string
	Engines []string          // HOST:PORT each
	CA      *x509.Certificate // of the engines; nil: those of the system

	Signers []ed25519.PublicKey // whose signatures count

	Snapshot string        // of a server: the absolute path; empty: there is none
	MaxStale time.Duration // the same, as in fleet.Options

	sum    [sha256.Size]byte // of the file
	public string            // the nkey
	seed   secret
	sign   secret // of an administrator: the seed of the key to sign with, in base64
}

// DefaultBucket is the name of the bucket, unless a file says otherwise.
const DefaultBucket = "zmqauth"

// ReadMember reads the file of a server or of an administrator. The error joins one for each fault,
// with its line, and repeats no secret.
func ReadMember(path string) (*Member, error) {
	root, sum, err := readFile(path, true)
	if err != nil {
		return nil, err
	}
	m := &Member{Path: path, Bucket: DefaultBucket, sum: sum}
	if err := readEntries(path, 0, root.Children, m.entries()); err != nil {
		return nil, err
	}
	switch {
	case m.Role == "":
		err = errors.New("it has neither server nor administrator: it is the file of neither")
	case len(m.Engines) == 0:
		err = errors.New("there is no engine")
	case len(m.Signers) == 0:
		err = errors.New("there is no signer: nothing would count")
	case m.Role == natsstore.RoleAdministrator && m.sign == "":
		err = errors.New("there is no sign, the key to sign with")
	case m.Role == natsstore.RoleServer && m.sign != "":
		err = errors.New("sign is for administrators: a server must not have it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func (m *Member) entries() []entry {
	var seed, sign string
	role := func(role natsstore.Role) func(string) error {
		return func(value string) error {
			if m.Role != "" {
				return errors.New("a file is that of a server or that of an administrator")
			}
			m.Role, m.Name = role, value
			return CheckName(value)
		}
	}
	return []entry{
		{name: string(natsstore.RoleServer), set: role(natsstore.RoleServer)},
		{name: string(natsstore.RoleAdministrator), set: role(natsstore.RoleAdministrator)},
		{name: "fleet", set: text(&m.Fleet, CheckName), required: true},
		{name: "bucket", set: text(&m.Bucket, CheckName)},
		{name: "engine", set: m.addEngine, many: true},
		{name: "ca", set: m.setCA},
		{name: "nkey", required: true, set: text(&seed, func(value string) (err error) {
			m.seed = secret(value)
			m.public, err = parseSeed(value)
			return err
		})},
		{name: "signer", set: m.addSigner, many: true},
		{name: "sign", set: text(&sign, func(value string) error {
			m.sign = secret(value)
			_, err := m.Key()
			return err
		})},
		{name: "snapshot", set: m.setSnapshot},
		{name: "max-stale", set: m.setMaxStale},
	}
}

func (m *Member) addEngine(value string) error {
	m.Engines = append(m.Engines, value)
	return checkAddress(value)
}

// checkAddress tells whether a text is HOST:PORT.
func checkAddress(text string) error {
	host, port, err := net.SplitHostPort(text)
	number, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || wrong != nil || number == 0 || !isHost(host) {
		return fmt.Errorf("%.80q: not HOST:PORT", text)
	}
	return nil
}

func (m *Member) setCA(value string) error {
	var der []byte
	if err := binary(&der)(value); err != nil {
		return err
	}
	var err error
	if m.CA, err = x509.ParseCertificate(der); err != nil {
		return errors.New("not the certificate of a CA in base64")
	}
	return nil
}

func (m *Member) addSigner(value string) error {
	key, err := parseSigner(value)
	m.Signers = append(m.Signers, key)
	return err
}

func parseSigner(value string) (ed25519.PublicKey, error) {
	var key []byte
	if err := binary(&key)(value); err != nil || len(key) != ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 public key: 32 bytes in base64")
	}
	return key, nil
}

func (m *Member) setSnapshot(value string) error {
	if value == "" {
		return errors.New("it has no value: leave the line out, or write one")
	}
	path, err := filepath.Abs(m.Path)
	if err != nil {
		return err
	}
	if !filepath.IsAbs(value) {
		value = filepath.Join(filepath.Dir(path), value)
	}
	m.Snapshot = value
	return nil
}

func (m *Member) setMaxStale(value string) (err error) {
	if m.MaxStale, err = time.ParseDuration(value); err != nil || m.MaxStale <= 0 {
		return fmt.Errorf("%.40q: not a time, such as 10m or 1h", value)
	}
	return nil
}

// Key is the key that an administrator signs with.
func (m *Member) Key() (ed25519.PrivateKey, error) {
	var seed []byte
	if err := binary(&seed)(string(m.sign)); err != nil || len(seed) != ed25519.SeedSize {
		return nil, errors.New("not the seed of an Ed25519 key: 32 bytes in base64")
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// write makes the file.
func (m *Member) write(comment string) error {
	root := new(zpl.Node)
	root.Add(string(m.Role), m.Name)
	root.Add("fleet", m.Fleet)
	if m.Bucket != DefaultBucket {
		root.Add("bucket", m.Bucket)
	}
	for _, engine := range m.Engines {
		root.Add("engine", engine)
	}
	if m.CA != nil {
		root.Add("ca", encodeBinary(m.CA.Raw))
	}
	root.Add("nkey", string(m.seed))
	for _, key := range m.Signers {
		root.Add("signer", encodeBinary(key))
	}
	if m.sign != "" {
		root.Add("sign", string(m.sign))
	}
	if m.Snapshot != "" {
		root.Add("snapshot", m.Snapshot)
	}
	if m.MaxStale != 0 {
		root.Add("max-stale", m.MaxStale.String())
	}
	return write(m.Path, comment, root, true)
}

// WriteTo makes another file with the same content and with this snapshot.
func (m *Member) WriteTo(path, snapshot string) error {
	other := *m
	other.Path, other.Snapshot = path, snapshot
	return other.write(m.comment())
}

func (m *Member) comment() string {
	if m.Role == natsstore.RoleAdministrator {
		return fmt.Sprintf("The administrator %s of the fleet %s. Who has this file can let "+
			"anybody in:\nkeep it secret, and on no server.\n", m.Name, m.Fleet)
	}
	return fmt.Sprintf("The server %s of the fleet %s. It is secret: give it to that server alone.\n",
		m.Name, m.Fleet)
}

// Nkey is the public nkey.
func (m *Member) Nkey() string { return m.public }

// Format writes the role and the name for every verb: a member has secrets.
func (m *Member) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%s %s", m.Role, m.Name) }

// SignerLine is the line that has a server trust an administrator.
func (m *Member) SignerLine() string {
	key, err := m.Key()
	if err != nil {
		return ""
	}
	return "signer = " + encodeBinary(key.Public().(ed25519.PublicKey))
}

// Same tells whether two members were read from files of the same content. nil is no member.
func (m *Member) Same(other *Member) bool {
	if m == nil || other == nil {
		return m == other
	}
	return m.sum == other.sum
}
