package zmqauth

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// czmqCertificatesSource is a program around the real zcert and zcertstore:
//
//	save PATH NAME VALUE ...   zcert_save a new certificate; prints it as load does
//	load PATH ...              zcert_load each; prints "public PUBLIC", "secret SECRET",
//	                           "meta NAME VALUE" and "end"
//	store DIR KEY ...          zcertstore_lookup each key; prints what is found as load does
const czmqCertificatesSource = `
#include <czmq.h>

static void metadata (zcert_t *cert) {
	zlist_t *names = zcert_meta_keys (cert);
	for (char *name = zlist_first (names); name; name = zlist_next (names))
		printf ("meta %s %s\n", name, zcert_meta (cert, name));
	zlist_destroy (&names);
}

static void print (zcert_t *cert) {
	if (cert) {
		printf ("public %s\nsecret %s\n", zcert_public_txt (cert), zcert_secret_txt (cert));
		metadata (cert);
	}
	puts ("end");
}

int main (int argc, char **argv) {
	if (streq (argv [1], "save")) {
		zcert_t *cert = zcert_new ();
		for (int i = 3; i + 1 < argc; i += 2)
			zcert_set_meta (cert, argv [i], "%s", argv [i + 1]);
		if (zcert_save (cert, argv [2]))
			return 1;
		print (cert);
	}
	else
	if (streq (argv [1], "load"))
		for (int i = 2; i < argc; i++)
			print (zcert_load (argv [i]));
	else {
		zcertstore_t *store = zcertstore_new (argv [2]);
		for (int i = 3; i < argc; i++)
			print (zcertstore_lookup (store, argv [i]));
	}
	return 0;
}
`

// runCzmq runs the program and parses the certificates it prints, nil for those that czmq could not
// load or find.
func runCzmq(t *testing.T, program string, args ...string) []*Certificate {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		t.Fatalf("czmq: %v\n%s", err, out)
	}
	var certs []*Certificate
	var cert *Certificate
	for line := range strings.Lines(string(out)) {
		word, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		switch word {
		case "public":
			public, err := ParsePublicKey(rest)
			if err != nil {
				t.Fatal(err)
			}
			cert = &Certificate{Public: public, Metadata: map[string]string{}}
		case "secret":
			if secret, err := ParseSecretKey(rest); err != nil {
				t.Fatal(err)
			} else if secret != (SecretKey{}) { // what czmq has for none
				cert.Secret = &secret
			}
		case "meta":
			name, value, _ := strings.Cut(rest, " ")
			cert.Metadata[name] = value
		case "end":
			certs, cert = append(certs, cert), nil
		default: // czmq's own log
		}
	}
	return certs
}

// awkwardMetadata is metadata that is hard to write in ZPL, but can be written.
var awkwardMetadata = map[string]string{
	"plain":         "x",
	"empty":         "",
	"apostrophe":    "Jane O'Hara",
	"quotes":        `say "x"`,
	"both":          `it's "x"`,
	"comment":       "x # y",
	"comment-first": "# y",
	"blanks":        "  x  ",
	"tab":           "\tx\ty",
	"equals":        "= a = b",
	"format":        "%s 100% %n %d",
	"utf-8":         "日本 é",
	"backslash":     `a\nb\"`,
	"long":          strings.Repeat("x", 3000),
	"a.b_c+d-E9":    "name",
	"not-after":     "2036-01-01T00:00:00Z",
}

func TestCzmqReadsOurs(t *testing.T) {
	program := testpeer.CompileCzmq(t, czmqCertificatesSource)
	dir := t.TempDir()
	publicFile, secretFile, err := CreateCertificates(dir, "n", awkwardMetadata)
	if err != nil {
		t.Fatal(err)
	}
	want, err := LoadCertificate(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	// zcert_load of NAME takes NAME_secret where that exists.
	if loaded := runCzmq(t, program, "load", publicFile); loaded[0] == nil || !loaded[0].equal(want) {
		t.Errorf("czmq has %+v, want %+v", loaded[0], want)
	}
	if err := os.Remove(secretFile); err != nil {
		t.Fatal(err)
	}
	want.Secret = nil
	if loaded := runCzmq(t, program, "load", publicFile); loaded[0] == nil || !loaded[0].equal(want) {
		t.Errorf("czmq has %+v, want %+v", loaded[0], want)
	}
}

func TestWeReadCzmqs(t *testing.T) {
	program := testpeer.CompileCzmq(t, czmqCertificatesSource)
	metadata := map[string]string{
		"email": "ph@imatix.com", "name": "Pieter O'Hintjens", "hash": "x # y", "empty": "",
		"format": "100%", "utf-8": "é", "blanks": " x ",
	}
	path := filepath.Join(t.TempDir(), "mycert.txt")
	args := []string{"save", path}
	for name, value := range metadata {
		args = append(args, name, value)
	}
	saved := runCzmq(t, program, args...)[0]
	if !maps.Equal(saved.Metadata, metadata) {
		t.Fatalf("czmq has metadata %q", saved.Metadata)
	}
	secret, err := LoadCertificate(path + "_secret")
	if err != nil || !secret.equal(saved) {
		t.Errorf("%+v, %v, want %+v", secret, err, saved)
	}
	saved.Secret = nil
	public, err := LoadCertificate(path)
	if err != nil || !public.equal(saved) {
		t.Errorf("%+v, %v, want %+v", public, err, saved)
	}
}

func TestCzmqStoreOfOurs(t *testing.T) {
	program := testpeer.CompileCzmq(t, czmqCertificatesSource)
	dir := t.TempDir()
	args := []string{"store", dir}
	for i := range 5 {
		metadata := map[string]string{"name": fmt.Sprint(i)}
		_, _, err := CreateCertificates(dir, fmt.Sprint("client", i), metadata)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, writePublic(t, filepath.Join(dir, fmt.Sprint("alone", i)), nil).String())
	}
	certs, err := LoadCertificates(dir)
	if err != nil || len(certs) != 10 {
		t.Fatalf("%d certificates, %v", len(certs), err)
	}
	for key := range certs {
		args = append(args, key.String())
	}
	stranger, err := NewCertificate()
	if err != nil {
		t.Fatal(err)
	}
	found := runCzmq(t, program, append(args, stranger.Public.String())...)
	if len(found) != 16 || found[15] != nil {
		t.Fatalf("%d answers, a stranger: %+v", len(found), found[len(found)-1])
	}
	for i, cert := range found[:15] {
		if cert == nil || !maps.Equal(cert.Metadata, certs[cert.Public].Metadata) {
			t.Errorf("answer %d: %+v", i, cert)
		}
	}
}

func TestWeReadCzmqsDirectory(t *testing.T) {
	program := testpeer.CompileCzmq(t, czmqCertificatesSource)
	dir := t.TempDir()
	want := map[PublicKey]*Certificate{}
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprint("client", i))
		saved := runCzmq(t, program, "save", path, "name", fmt.Sprint("client ", i))[0]
		want[saved.Public] = saved
	}
	certs, err := LoadCertificates(dir)
	if err != nil || len(certs) != len(want) {
		t.Fatalf("%d certificates, %v", len(certs), err)
	}
	for key, saved := range want {
		if cert := certs[key]; cert == nil || cert.Secret != nil ||
			!maps.Equal(cert.Metadata, saved.Metadata) {
			t.Errorf("%+v, want %+v", cert, saved)
		}
	}
}

// runPython runs a program with zmq.auth at hand and decodes the JSON that it prints.
func runPython(t *testing.T, result any, program string, args ...string) {
	t.Helper()
	args = append([]string{"-c", "import json, sys, zmq.auth\n" + program}, args...)
	out, err := exec.Command(testpeer.Python(t, "zmq", "python3-zmq"), args...).Output()
	if err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
	if err := json.Unmarshal(out, result); err != nil {
		t.Fatalf("python: %v\n%s", err, out)
	}
}

func TestPythonReadsOurs(t *testing.T) {
	publicFile, secretFile, err := CreateCertificates(t.TempDir(), "n", awkwardMetadata)
	if err != nil {
		t.Fatal(err)
	}
	want, err := LoadCertificate(secretFile)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	runPython(t, &got, `
keys = [zmq.auth.load_certificate(file) for file in sys.argv[1:]]
print(json.dumps([[key.decode() for key in pair if key] for pair in keys]))`,
		publicFile, secretFile)
	public, secret := want.Public.String(), want.Secret.Z85()
	if len(got) != 2 || !slices.Equal(got[0], []string{public}) ||
		!slices.Equal(got[1], []string{public, secret}) {
		t.Errorf("Python has other keys, or others than %s", public)
	}
}

func TestWeReadPythons(t *testing.T) {
	dir := t.TempDir()
	metadata := map[string]string{
		"name": "Jane O'Hara", "note": `two  blanks, "quotes" it's`, "equals": "a = b", "utf-8": "é",
		"empty": "",
	}
	text, err := json.Marshal(metadata)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	runPython(t, &files, `
metadata = json.loads(sys.argv[2])
print(json.dumps(zmq.auth.create_certificates(sys.argv[1], "jane", metadata=metadata)))`,
		dir, string(text))
	var keys []string
	runPython(t, &keys, `
print(json.dumps([key.decode() for key in zmq.auth.load_certificate(sys.argv[1])]))`, files[1])

	public, err := LoadCertificate(files[0])
	// pyzmq writes no metadata to the public file.
	if err != nil || public.Public.String() != keys[0] || public.Secret != nil ||
		len(public.Metadata) != 0 {
		t.Errorf("%+v, %v", public, err)
	}
	_, err = LoadCertificate(files[1]) // pyzmq lets all read it
	if err == nil || !strings.HasSuffix(err.Error(), "chmod o-rwx "+files[1]) {
		t.Errorf("the secret file as Python leaves it: %v", err)
	}
	if err := os.Chmod(files[1], 0o600); err != nil {
		t.Fatal(err)
	}
	secret, err := LoadCertificate(files[1])
	if err != nil || secret.Public.String() != keys[0] || secret.Secret.Z85() != keys[1] ||
		!maps.Equal(secret.Metadata, metadata) {
		t.Errorf("%+v, %v", secret, err)
	}
}

func TestPythonDirectories(t *testing.T) {
	const load = `
keys = zmq.auth.load_certificates(sys.argv[1])
print(json.dumps(sorted(key.decode() for key in keys)))`
	dirs := map[string]func(dir string){
		"ours": func(dir string) {
			for i := range 5 {
				metadata := map[string]string{"name": fmt.Sprint(i)}
				_, _, err := CreateCertificates(dir, fmt.Sprint("client", i), metadata)
				if err != nil {
					t.Fatal(err)
				}
			}
		},
		"Python's": func(dir string) {
			var done bool
			runPython(t, &done, `
for i in range(5):
    zmq.auth.create_certificates(sys.argv[1], "client%d" % i, metadata={"name": str(i)})
print("true")`, dir)
		},
	}
	for name, fill := range dirs {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fill(dir)
			certs, err := LoadCertificates(dir)
			if err != nil {
				t.Fatal(err)
			}
			var ours, python []string
			for key := range certs {
				ours = append(ours, key.String())
			}
			slices.Sort(ours)
			runPython(t, &python, load, dir)
			if len(ours) != 5 || !slices.Equal(ours, python) {
				t.Errorf("ours %q, Python's %q", ours, python)
			}
		})
	}
}
