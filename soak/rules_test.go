package soak

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pebbe/zmq4"
	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testrealm"
)

// rules is what the authenticator is told, and who changes by it.
type rules struct {
	*world

	addressMu       sync.Mutex
	denied, allowed []*person // by address: the first are in until they are denied, the others out until they are allowed

	table, file   []*changingUser
	tableUsers    map[string]string // that never change
	fileUsers     map[string]string
	passwords     string // the file
	keySet        []zmqauth.PublicKey
	changingKeys  []*person
	keyOf         map[*person]*zmqauth.Certificate
	dir           string
	goodFiles     map[string]*zmqauth.Certificate
	changingFiles []*changingFile
	carol         []*person               // in the two GSSAPI domains
	turned        map[string]*atomic.Bool // whom callbacks let in at times
	turning       map[string]*person
	kinds         map[zmqauth.PublicKey]string // what the callback does with a key
}

// changingUser has one of two passwords, or none.
type changingUser struct {
	name      string
	passwords [2]string
	people    [2]*person
}

// changingFile is a certificate file that holds one of two keys, or is not there.
type changingFile struct {
	name   string
	holds  [2]*zmqauth.Certificate
	people [2]*person
}

// strangersUser is nobody's name.
const strangersUser = "stranger"

const crowd = 4 // of each sort of person

func newRules(t *testing.T, w *world) *rules {
	t.Helper()
	r := &rules{world: w, tableUsers: make(map[string]string), fileUsers: make(map[string]string), keyOf: make(map[*person]*zmqauth.Certificate),
		goodFiles: make(map[string]*zmqauth.Certificate), turned: make(map[string]*atomic.Bool), turning: make(map[string]*person),
		kinds: make(map[zmqauth.PublicKey]string), dir: directory(t, "certificates"), passwords: filepath.Join(directory(t, "passwords"), "file")}
	r.addPlainNeighbours(w)
	r.addVisitors()
	r.addUsers(t)
	r.addKeys(t)
	r.addPrincipals()
	r.addCallbackClients(t)
	for _, h := range w.houses {
		for _, p := range maps.Clone(h.people) { // which grows
			if p.standing.good && p.house.mechanism != "GSSAPI" {
				p.outlawed()
			}
		}
	}
	must.OK(t, errors.Join(r.baseAddresses(), r.writePasswords("file", r.fileUsers), w.auth.ConfigurePlainFile("file", r.passwords),
		w.auth.ConfigurePlain("table", r.tableUsers), w.auth.ConfigureCurveKeys("keys", r.keySet...), w.auth.ConfigureCurve("directory", r.dir),
		w.auth.ConfigureGSSAPI("principals", testrealm.AnnFull), r.configureCallbacks()))
	return r
}

// addPlainNeighbours adds those who come to the wrong door.
func (r *rules) addPlainNeighbours(w *world) {
	for domain, mechanism := range map[string]string{"open": "NULL", "guests": "NULL", "table": "PLAIN", "file": "PLAIN", "ask": "PLAIN",
		"keys": "CURVE", "directory": "CURVE", "ask keys": "CURVE", "principals": "GSSAPI", "ask principals": "GSSAPI"} {
		h := w.house(domain, mechanism)
		if mechanism != "NULL" {
			h.stranger("without a mechanism", nobodyRole)
		}
		if mechanism != "PLAIN" {
			h.stranger("with a password", func(s *zmq4.Socket) error { return zmqauth.PlainClient(s, "good0", secretMark) })
		}
	}
	key, _ := zmqauth.NewCertificate()
	for _, domain := range []string{"open", "table", "principals"} {
		w.houses[domain].stranger("with a key", func(s *zmq4.Socket) error { return zmqauth.CurveClient(s, w.key.Public, key) })
	}
	w.houses["keys"].stranger("with another server's key", func(s *zmq4.Socket) error { return zmqauth.CurveClient(s, key.Public, key) })
}

func (r *rules) addVisitors() {
	open, guests := r.houses["open"], r.houses["guests"]
	for i := range crowd {
		open.visitor(fmt.Sprint("good", i), fmt.Sprint("127.1.0.", 1+i), always())
		guests.visitor(fmt.Sprint("good", i), fmt.Sprint("127.1.0.", 1+i), always())
		r.denied = append(r.denied, open.visitor(fmt.Sprint("changing", i), fmt.Sprint("127.2.0.", 1+i), &standing{in: true}))
		r.allowed = append(r.allowed, guests.visitor(fmt.Sprint("changing", i), fmt.Sprint("127.3.0.", 1+i), new(standing)))
	}
	guests.visitor("unnamed", unnamed, new(standing))
}

func (r *rules) baseAddresses() error {
	return errors.Join(r.auth.Deny(banned), r.auth.AllowDomain("guests", "127.1.0.0/16", "127.66.0.0/16"))
}

func (r *rules) addUsers(t *testing.T) {
	for domain, users := range map[string]map[string]string{"table": r.tableUsers, "file": r.fileUsers} {
		h := r.houses[domain]
		for i := range crowd {
			name, password := fmt.Sprint("good", i), fmt.Sprint(secretMark, domain, i)
			users[name] = password
			if i%2 == 1 {
				hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
				must.OK(t, err)
				users[name] = string(hash)
			}
			h.user(name, name, password, always())
		}
		for i := range 2 {
			u := &changingUser{name: fmt.Sprint("changing", i), passwords: [2]string{secretMark + " one", secretMark + " two"}}
			for j, password := range u.passwords {
				u.people[j] = h.user(fmt.Sprint(u.name, ", password ", j), u.name, password, new(standing))
			}
			if domain == "table" {
				r.table = append(r.table, u)
			} else {
				r.file = append(r.file, u)
			}
		}
		h.user("a stranger", strangersUser, secretMark, new(standing))
		h.user("a wrong password", "good0", secretMark+" wrong", new(standing))
		h.user("a wrong password to a hash", "good1", secretMark+" wrong", new(standing))
		h.user("a hash for a password", "good1", users["good1"], new(standing))
	}
}

func (r *rules) addKeys(t *testing.T) {
	keys, dir := r.houses["keys"], r.houses["directory"]
	for i := range crowd {
		name := fmt.Sprint("good", i)
		one := r.certificate(t, nil)
		r.keySet = append(r.keySet, one.Public)
		keys.holder(name, one, always())
		other := r.certificate(t, map[string]string{"Role": "reader"})
		r.goodFiles[name+".key"] = other
		must.OK(t, other.SavePublic(filepath.Join(r.dir, name+".key")))
		dir.holder(name, other, always())
	}
	for i := range 2 {
		c := r.certificate(t, nil)
		p := keys.holder(fmt.Sprint("changing", i), c, new(standing))
		r.changingKeys, r.keyOf[p] = append(r.changingKeys, p), c
		f := &changingFile{name: fmt.Sprintf("changing%d.key", i)}
		for j := range f.holds {
			f.holds[j] = r.certificate(t, map[string]string{"Role": fmt.Sprint("role ", j)})
			f.people[j] = dir.holder(fmt.Sprint("changing", i, ", key ", j), f.holds[j], new(standing))
		}
		r.changingFiles = append(r.changingFiles, f)
	}
	keys.holder("a stranger", r.certificate(t, nil), new(standing))
	dir.holder("a stranger", r.certificate(t, nil), new(standing))
	for name, metadata := range map[string]map[string]string{
		"expired": {"not-after": "2001-01-01T00:00:00Z"}, "not yet valid": {"not-before": "2901-01-01T00:00:00Z"},
	} {
		c := r.certificate(t, metadata)
		must.OK(t, c.SavePublic(filepath.Join(r.dir, name+".key")))
		dir.holder(name, c, new(standing))
	}
	must.OK(t, os.WriteFile(filepath.Join(r.dir, "broken.key"), []byte("curve\n    public-key = \"short\"\n"), 0o600))
}

func (r *rules) certificate(t *testing.T, metadata map[string]string) *zmqauth.Certificate {
	t.Helper()
	c, err := zmqauth.NewCertificate()
	must.OK(t, err)
	c.Metadata = metadata
	return c
}

func (r *rules) addPrincipals() {
	for _, domain := range []string{"principals", "ask principals"} {
		h := r.houses[domain]
		h.principal("ann", testrealm.Ann, testrealm.AnnFull, always())
		h.principal("bob", testrealm.Bob, testrealm.BobFull, new(standing))
		r.carol = append(r.carol, h.principal("carol", "", testrealm.CarolFull, new(standing)))
	}
}
