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
	check(flag.Set("test.parallel", "12")) // most tests wait for handlers that have ended
	os.Exit(m.Run())
}

// testHandler describes the handlers of these tests, which let in one client of each mechanism.
func testHandler() zaptest.Handler {
	return zaptest.Handler{
		Domain:         "global",
		Null:           true,
		User:           "ann",
		Password:       "correct horse",
		Key:            []byte("a key that ann has the secret of"),
		Principal:      "ann@EXAMPLE.ORG",
		RefusedAddress: "192.0.2.66",
	}
}

// files writes files for handlers that read their clients from them: the file passwords, and the
// directory clients with the certificate of a new key. It sets h.Key to that key.
func files(t *testing.T, h *zaptest.Handler) (directory string) {
	t.Helper()
	directory = t.TempDir()
	passwords := []byte(h.User + "=" + h.Password + "\n")
	must.OK(t, os.WriteFile(filepath.Join(directory, "passwords"), passwords, 0o600))
	clients := filepath.Join(directory, "clients")
	must.OK(t, os.Mkdir(clients, 0o700))
	role := map[string]string{"Role": "operator"}
	public, _, err := zmqauth.CreateCertificates(directory, "ann", role)
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
