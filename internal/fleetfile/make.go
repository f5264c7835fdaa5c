package fleetfile

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/zpl"
)

// Plan is what Init makes.
type Plan struct {
	Dir     string // is made; it may exist, and then it must be empty
	Fleet   string
	Bucket  string
	Admin   string
	Servers []string
	Engines []string // HOST:PORT each: one, three or five
	Foreign bool     // the engines exist already, and are not made

	CA *x509.Certificate // of engines that exist already; nil: those of the system
}

// The names of files in the directory of a fleet.
const (
	MembersFile = "members"
	caFile      = "ca.key"
)

// clusterOffset is what the port for other engines is above that for servers: 4222 and 6222.
const clusterOffset = 2000

// lifetime is how long certificates are valid: as long as the fleet's CA.
const lifetime = 10 * 365 * 24 * time.Hour

// Init makes the files of a new fleet. The error is about what is wrong with the plan, or about a
// file; those that were made stay.
func Init(p Plan) error {
	if err := p.check(); err != nil {
		return err
	}
	if err := makeDir(p.Dir); err != nil {
		return err
	}
	members := &Members{Fleet: p.Fleet, Bucket: p.Bucket}
	var ca *authority
	var err error
	if !p.Foreign {
		if ca, err = newAuthority(p.Fleet); err != nil {
			return err
		}
		if err := ca.write(filepath.Join(p.Dir, caFile)); err != nil {
			return err
		}
		if err := p.makeEngines(ca, members); err != nil {
			return err
		}
	}
	template := Member{Fleet: p.Fleet, Bucket: p.Bucket, Engines: p.Engines, CA: p.CA}
	if ca != nil {
		template.CA = ca.certificate
	}
	if err := makeMember(p.Dir, natsstore.RoleAdministrator, p.Admin, template, members); err != nil {
		return err
	}
	template.Signers = members.Signers()
	for _, name := range p.Servers {
		if err := makeMember(p.Dir, natsstore.RoleServer, name, template, members); err != nil {
			return err
		}
	}
	return write(filepath.Join(p.Dir, MembersFile), membersComment, members.tree(), false)
}

func (p *Plan) check() error {
	faults := []error{CheckName(p.Fleet), CheckName(p.Bucket), CheckName(p.Admin)}
	names := []string{p.Admin}
	for _, name := range p.Servers {
		faults = append(faults, CheckName(name))
		if slices.Contains(names, name) {
			faults = append(faults, fmt.Errorf("two members are called %s", name))
		}
		names = append(names, name)
	}
	for i, engine := range p.Engines {
		faults = append(faults, checkAddress(engine))
		if slices.Contains(p.Engines[:i], engine) {
			faults = append(faults, fmt.Errorf("two engines are at %s", engine))
		}
		if !p.Foreign && slices.Contains(names, engineName(i)) {
			faults = append(faults, fmt.Errorf("%s is the name of an engine", engineName(i)))
		}
	}
	if n := len(p.Engines); !p.Foreign && n != 1 && n != 3 && n != 5 || n == 0 {
		faults = append(faults, fmt.Errorf("%d engines: one, three or five, of which more than half "+
			"must be there", n))
	}
	return errors.Join(faults...)
}

// makeDir makes a directory that its owner alone can enter. One that exists must be empty.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if !errors.Is(err, fs.ErrExist) {
		if err != nil {
			return fmt.Errorf("%s: %w", dir, files.Bare(err))
		}
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, files.Bare(err))
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s: it exists, and is not empty", dir)
	}
	return nil
}

func engineName(i int) string { return fmt.Sprintf("engine-%d", i+1) }

// clusterAddress is where the other engines reach one.
func clusterAddress(engine string) (string, error) {
	host, port, _ := net.SplitHostPort(engine) // has been checked
	number, _ := strconv.Atoi(port)
	if number += clusterOffset; number > 0xffff {
		return "", fmt.Errorf("%s: the port is above %d: engines reach each other at a port that is "+
			"%d higher", engine, 0xffff-clusterOffset, clusterOffset)
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), nil
}

// listenAt is where an engine listens that is reached there: on loopback, or on all addresses.
func listenAt(address string) string {
	host, port, _ := net.SplitHostPort(address) // has been checked
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return address
	}
	if host == "localhost" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return "*:" + port
}

func (p *Plan) makeEngines(ca *authority, members *Members) error {
	addresses := make([]string, len(p.Engines))
	for i, engine := range p.Engines {
		if len(p.Engines) == 1 {
			break
		}
		var err error
		if addresses[i], err = clusterAddress(engine); err != nil {
			return err
		}
	}
	for i, engine := range p.Engines {
		e := &EngineFile{Path: filepath.Join(p.Dir, engineName(i)+Extension(natsstore.RoleEngine)),
			Name: engineName(i), Fleet: p.Fleet, Listen: listenAt(engine), Store: engineName(i) + ".store",
			Members: MembersFile, CA: ca.certificate}
		if len(p.Engines) > 1 {
			e.ClusterListen = listenAt(addresses[i])
			e.Peers = slices.Delete(slices.Clone(addresses), i, i+1)
		}
		var err error
		if e.seed, e.public, err = newSeed(); err != nil {
			return err
		}
		host, _, _ := net.SplitHostPort(engine)
		if e.certificate, e.key, err = ca.issue(e.Name, host); err != nil {
			return err
		}
		if err := e.write(); err != nil {
			return err
		}
		known := Known{Name: e.Name, Role: natsstore.RoleEngine, Nkey: e.public}
		if err := members.add(known); err != nil {
			return err
		}
	}
	return nil
}

// makeMember makes the file of a server or an administrator, and adds it to the list.
func makeMember(dir string, role natsstore.Role, name string, m Member, members *Members) (
	err error) {
	m.Role, m.Name, m.Path = role, name, filepath.Join(dir, name+Extension(role))
	if m.seed, m.public, err = newSeed(); err != nil {
		return err
	}
	known := Known{Name: name, Role: role, Nkey: m.public}
	if role == natsstore.RoleAdministrator {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return err
		}
		m.sign, known.Signer = secret(encodeBinary(private.Seed())), public
		m.Signers = append(slices.Clone(m.Signers), public)
	}
	if err := members.add(known); err != nil {
		return err
	}
	return m.write(m.comment())
}

// Add makes the file of another server or administrator in the directory of a fleet, and adds it to
// the list of members. from is the file of an administrator of the fleet.
func Add(from *Member, role natsstore.Role, name string) (path string, err error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	dir := filepath.Dir(from.Path)
	path = filepath.Join(dir, name+Extension(role))
	list := filepath.Join(dir, MembersFile)
	return path, replaceMembers(list, func(m *Members) error {
		if m.Fleet != from.Fleet || m.Bucket != from.Bucket {
			return fmt.Errorf("%s: it is of the fleet %s, and %s is of %s", list, m.Fleet, from.Path,
				from.Fleet)
		}
		template := Member{Fleet: from.Fleet, Bucket: from.Bucket, Engines: from.Engines, CA: from.CA,
			Signers: m.Signers()}
		return makeMember(dir, role, name, template, m)
	})
}

// authority is the CA of a fleet's engines.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(fleet string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := newTemplate("zmqauth fleet " + fleet)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	return &authority{certificate, key}, err
}

func newTemplate(name string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	now := time.Now()
	return &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime)}, err // clocks differ
}

// issue makes the certificate of an engine, which is a client of its peers, too.
func (a *authority) issue(name, host string) (certificate []byte, key secret, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	template, err := newTemplate(name)
	if err != nil {
		return nil, "", err
	}
	template.NotAfter = a.certificate.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth,
		x509.ExtKeyUsageClientAuth}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, "", err
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	return der, secret(encodeBinary(text)), err
}

func (a *authority) write(path string) error {
	text, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	root := new(zpl.Node)
	root.Add("certificate", encodeBinary(a.certificate.Raw))
	root.Add("key", encodeBinary(text))
	return write(path, "The CA of the engines of the fleet. Who has it can pass for an engine: keep "+
		"it secret.\n", root, true)
}
