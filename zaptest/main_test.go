package zaptest_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/zaptest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == asZmq4 {
		serveZmq4(os.Args[2:])
		return
	}
	flag.Parse()
	check(flag.Set("test.parallel", "12")) // most of the tests wait for handlers that are gone
	os.Exit(m.Run())
}

// world is whom the handlers of these tests are set up to let in and to keep out.
func world() zaptest.Handler {
	return zaptest.Handler{
		Domain: "global", Null: true, User: "ann", Password: "correct horse", Key: []byte("a key that ann has the secret of"),
		Principal: "ann@EXAMPLE.ORG", RefusedAddress: "192.0.2.66",
	}
}

// files writes what a handler needs of a world that is kept in files: passwords and clients, a
// directory with the certificate of a new key, which the world gets.
func files(t *testing.T, h *zaptest.Handler) (directory string) {
	t.Helper()
	directory = t.TempDir()
	must.OK(t, os.WriteFile(filepath.Join(directory, "passwords"), []byte(h.User+"="+h.Password+"\n"), 0o600))
	clients := filepath.Join(directory, "clients")
	must.OK(t, os.Mkdir(clients, 0o700))
	public, _, err := zmqauth.CreateCertificates(directory, "ann", map[string]string{"Role": "operator"})
	must.OK(t, err)
	must.OK(t, os.Rename(public, filepath.Join(clients, "ann.key")))
	certificate, err := zmqauth.LoadCertificate(filepath.Join(clients, "ann.key"))
	must.OK(t, err)
	h.Key = certificate.Public[:]
	return directory
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
