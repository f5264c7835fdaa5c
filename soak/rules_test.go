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

// rules are the rules of the Authenticator and the clients whose standing changes with them.
type rules struct {
	*world

	addressMu sync.Mutex
	denied    []*client // their addresses are in until they are denied
	allowed   []*client // their addresses are out until they are allowed

	table, file   []*changingUser
	tableUsers    map[string]string // the users that never change
	fileUsers     map[string]string // the users that never change
	passwords     string            // the path of the password file
	keySet        []zmqauth.PublicKey
	changingKeys  []*client
	keyOf         map[*client]*zmqauth.Certificate
	dir           string
	goodFiles     map[string]*zmqauth.Certificate
	changingFiles []*changingFile
	carol         []*client                    // one for each of the two GSSAPI domains
	turning       map[string]*client           // clients that callbacks let in at times, by domain
	turned        map[string]*atomic.Bool      // whether callbacks let them in now
	kinds         map[zmqauth.PublicKey]string // what the callback does with a key
}

// changingUser has one of two passwords, or none.
type changingUser struct {
	name      string
	passwords [2]string
	clients   [2]*client
}

// changingFile is a certificate file that has one of two keys, or is not there.
type changingFile struct {
	name    string
	holds   [2]*zmqauth.Certificate
	clients [2]*client
}

// strangersUser is the name of no user.
const strangersUser = "stranger"

const clientsPerKind = 4

func newRules(t *testing.T, w *world) *rules {
	t.Helper()
	r := &rules{
		world:      w,
		tableUsers: make(map[string]string),
		fileUsers:  make(map[string]string),
		keyOf:      make(map[*client]*zmqauth.Certificate),
		goodFiles:  make(map[string]*zmqauth.Certificate),
		turned:     make(map[string]*atomic.Bool),
		turning:    make(map[string]*client),
		kinds:      make(map[zmqauth.PublicKey]string),
		dir:        directory(t, "certificates"),
		passwords:  filepath.Join(directory(t, "passwords"), "file"),
	}
	r.addServers(w)
	r.addVisitors()
	r.addUsers(t)
	r.addKeys(t)
	r.addPrincipals()
	r.addCallbackClients(t)
	r.addGuarded(t)
	for _, h := range w.servers {
		for _, p := range maps.Clone(h.clients) { // addDenied adds clients
			if p.standing.good && p.server.mechanism != "GSSAPI" {
				p.addDenied()
			}
		}
	}
	must.OK(t, errors.Join(
		r.baseAddresses(),
		r.writePasswords("file", r.fileUsers),
		w.auth.ConfigurePlainFile("file", r.passwords),
		w.auth.ConfigurePlain("table", r.tableUsers),
		w.auth.ConfigureCurveKeys("keys", r.keySet...),
		w.auth.ConfigureCurve("directory", r.dir),
		w.auth.ConfigureGSSAPI("principals", testrealm.AnnFull),
		r.configureCallbacks(),
	))
	return r
}

// addServers adds the servers, and clients that use another mechanism or expect another server.
func (r *rules) addServers(w *world) {
	for domain, mechanism := range map[string]string{
		"open":           "NULL",
		"guests":         "NULL",
		"table":          "PLAIN",
		"file":           "PLAIN",
		"ask":            "PLAIN",
		"keys":           "CURVE",
		"directory":      "CURVE",
		"ask keys":       "CURVE",
		"principals":     "GSSAPI",
		"ask principals": "GSSAPI",
	} {
		h := w.server(domain, mechanism)
		if mechanism != "NULL" {
			h.stranger("without a mechanism", nobodyRole)
		}
		if mechanism != "PLAIN" {
			h.stranger("with a password", func(s *zmq4.Socket) error {
				return zmqauth.PlainClient(s, "good0", secretMark)
			})
		}
	}
	key, _ := zmqauth.NewCertificate()
	for _, domain := range []string{"open", "table", "principals"} {
		w.servers[domain].stranger("with a key", func(s *zmq4.Socket) error {
			return zmqauth.CurveClient(s, w.key.Public, key)
		})
	}
	w.servers["keys"].stranger("with another server's key", func(s *zmq4.Socket) error {
		return zmqauth.CurveClient(s, key.Public, key)
	})
}

func (r *rules) addVisitors() {
	open, guests := r.servers["open"], r.servers["guests"]
	for i := range clientsPerKind {
		good, changing := fmt.Sprint("good", i), fmt.Sprint("changing", i)
		open.nullClient(good, fmt.Sprint("127.1.0.", 1+i), always())
		guests.nullClient(good, fmt.Sprint("127.1.0.", 1+i), always())
		denied := open.nullClient(changing, fmt.Sprint("127.2.0.", 1+i), &standing{in: true})
		allowed := guests.nullClient(changing, fmt.Sprint("127.3.0.", 1+i), new(standing))
		r.denied, r.allowed = append(r.denied, denied), append(r.allowed, allowed)
	}
	guests.nullClient("unlisted", unlistedAddress, new(standing))
}

func (r *rules) baseAddresses() error {
	return errors.Join(
		r.auth.Deny(deniedNetwork),
		r.auth.AllowDomain("guests", "127.1.0.0/16", "127.66.0.0/16"),
	)
}

func (r *rules) addUsers(t *testing.T) {
	for domain, users := range map[string]map[string]string{
		"table": r.tableUsers,
		"file":  r.fileUsers,
	} {
		h := r.servers[domain]
		for i := range clientsPerKind {
			name, password := fmt.Sprint("good", i), fmt.Sprint(secretMark, domain, i)
			users[name] = password
			if i%2 == 1 {
				hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
				must.OK(t, err)
				users[name] = string(hash)
			}
			h.plainClient(name, name, password, always())
		}
		for i := range 2 {
			u := &changingUser{
				name:      fmt.Sprint("changing", i),
				passwords: [2]string{secretMark + " one", secretMark + " two"},
			}
			for j, password := range u.passwords {
				name := fmt.Sprint(u.name, ", password ", j)
				u.clients[j] = h.plainClient(name, u.name, password, new(standing))
			}
			if domain == "table" {
				r.table = append(r.table, u)
			} else {
				r.file = append(r.file, u)
			}
		}
		h.plainClient("a stranger", strangersUser, secretMark, new(standing))
		h.plainClient("a wrong password", "good0", secretMark+" wrong", new(standing))
		h.plainClient("a wrong password to a hash", "good1", secretMark+" wrong", new(standing))
		h.plainClient("a hash for a password", "good1", users["good1"], new(standing))
	}
}

func (r *rules) addKeys(t *testing.T) {
	keys, dir := r.servers["keys"], r.servers["directory"]
	for i := range clientsPerKind {
		name := fmt.Sprint("good", i)
		one := r.certificate(t, nil)
		r.keySet = append(r.keySet, one.Public)
		keys.curveClient(name, one, always())
		other := r.certificate(t, map[string]string{"Role": "reader"})
		r.goodFiles[name+".key"] = other
		must.OK(t, other.SavePublic(filepath.Join(r.dir, name+".key")))
		dir.curveClient(name, other, always())
	}
	for i := range 2 {
		c := r.certificate(t, nil)
		p := keys.curveClient(fmt.Sprint("changing", i), c, new(standing))
		r.changingKeys, r.keyOf[p] = append(r.changingKeys, p), c
		f := &changingFile{name: fmt.Sprintf("changing%d.key", i)}
		for j := range f.holds {
			f.holds[j] = r.certificate(t, map[string]string{"Role": fmt.Sprint("role ", j)})
			f.clients[j] = dir.curveClient(fmt.Sprint("changing", i, ", key ", j), f.holds[j], new(standing))
		}
		r.changingFiles = append(r.changingFiles, f)
	}
	keys.curveClient("a stranger", r.certificate(t, nil), new(standing))
	dir.curveClient("a stranger", r.certificate(t, nil), new(standing))
	for name, metadata := range map[string]map[string]string{
		"expired":       {"not-after": "2001-01-01T00:00:00Z"},
		"not yet valid": {"not-before": "2901-01-01T00:00:00Z"},
	} {
		c := r.certificate(t, metadata)
		must.OK(t, c.SavePublic(filepath.Join(r.dir, name+".key")))
		dir.curveClient(name, c, new(standing))
	}
	broken := []byte("curve\n    public-key = \"short\"\n")
	must.OK(t, os.WriteFile(filepath.Join(r.dir, "broken.key"), broken, 0o600))
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
		h := r.servers[domain]
		h.gssapiClient("ann", testrealm.Ann, testrealm.AnnFull, always())
		h.gssapiClient("bob", testrealm.Bob, testrealm.BobFull, new(standing))
		r.carol = append(r.carol, h.gssapiClient("carol", "", testrealm.CarolFull, new(standing)))
	}
}
