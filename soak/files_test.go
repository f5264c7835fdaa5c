package soak

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth"
)

// inForce waits until a change of a followed file is in force and settles the client's standing.
// The Authenticator does not report when it has read a file, so inForce asks it again and again.
func (r *rules) inForce(p *client, in bool) {
	want := map[bool]string{true: "200", false: "400"}[in]
	begun := time.Now()
	for {
		service := r.service.look()
		got := status(r.auth.HandleZAPMessage(context.Background(), p.request()))
		if got == want && service.stillIn() {
			break
		}
		if time.Since(begun) > patience {
			r.fault("%s: not %s within %v, but %s", p.name, want, patience, got)
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	p.standing.settle(in)
	r.tally.waited("changes of files", time.Since(begun))
}

// passwordFile changes the password file in place or replaces it. One user gets another password
// each time, which shows when the file has been read.
func (r *rules) passwordFile(ctx context.Context) {
	const latest = "latest"
	for round := 0; every(ctx, 200*time.Millisecond); round++ {
		all, begin, settle := choose(r.fileUsers, r.file)
		all[latest] = fmt.Sprint(secretMark, round)
		if rand.IntN(3) == 0 {
			r.unusablePasswords(all)
		}
		begin()
		r.must(r.writePasswords([]string{"file", "new file", "broken lines"}[rand.IntN(3)], all))
		r.tally.count("changes", "password files")
		if rand.IntN(3) == 0 {
			r.must(r.auth.ConfigurePlainFile("file", r.passwords))
			r.tally.count("changes", "password files configured anew")
		}
		r.inForce(&client{
			name:        latest,
			server:      r.servers["file"],
			source:      allowedAddress,
			standing:    new(standing),
			credentials: []string{latest, all[latest]},
		}, true)
		settle()
	}
}

// unusablePasswords installs a password file that others can write, and waits until the log reports
// it. Its additional user must not get in.
func (r *rules) unusablePasswords(users map[string]string) {
	everybody := maps.Clone(users)
	everybody[strangersUser] = secretMark
	seen, begun := r.unusable.Load(), time.Now()
	r.must(r.replaceFile(r.passwords, passwordLines(everybody), 0o622))
	for r.unusable.Load() == seen {
		if time.Since(begun) > patience {
			r.fault("a password file that others can write is not reported within %v", patience)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	q := r.question(r.servers["file"].clients["file/a stranger"])
	reply := r.auth.HandleZAPMessage(context.Background(), q.client.request())
	q.check("in the face of an unusable file", status(reply))
	r.tally.count("changes", "unusable password files")
}

func passwordLines(users map[string]string) string {
	var lines strings.Builder
	for _, name := range slices.Sorted(maps.Keys(users)) {
		fmt.Fprintf(&lines, "%s=%s\n", name, users[name])
	}
	return lines.String()
}

func (r *rules) writePasswords(how string, users map[string]string) error {
	switch lines := passwordLines(users); how {
	case "new file":
		return r.replaceFile(r.passwords, lines, 0o600)
	case "broken lines":
		broken := "no line\n=" + secretMark + "\n" + strangersUser + ":" + secretMark + "\n"
		return r.replaceFile(r.passwords, broken+lines, 0o600)
	default:
		return errors.Join(os.WriteFile(r.passwords, []byte(lines), 0o600), os.Chmod(r.passwords, 0o600))
	}
}

// replaceFile renames a new file over an old one.
func (r *rules) replaceFile(path, content string, mode os.FileMode) error {
	if err := os.WriteFile(path+".new~", []byte(content), 0o600); err != nil {
		return err
	}
	if err := os.Chmod(path+".new~", mode); err != nil {
		return err
	}
	return os.Rename(path+".new~", path)
}

// directory changes certificates in the directory and disturbs the files of others.
func (r *rules) directory(ctx context.Context) {
	for every(ctx, 100*time.Millisecond) {
		r.disturb()
		f := r.changingFiles[rand.IntN(len(r.changingFiles))]
		path, drawn := filepath.Join(r.dir, f.name), rand.IntN(3)
		for _, p := range f.clients {
			p.standing.begin()
		}
		if drawn == len(f.holds) {
			r.must(removeAny(path))
		} else if rand.IntN(2) == 0 {
			r.must(r.replaceFile(path, certificateText(f.holds[drawn]), 0o600))
		} else {
			r.must(os.WriteFile(path, []byte(certificateText(f.holds[drawn])), 0o600))
		}
		r.tally.count("changes", "certificates")
		if rand.IntN(5) == 0 {
			r.must(r.auth.ConfigureCurve("directory", r.dir))
			r.tally.count("changes", "directories configured anew")
		}
		for j, p := range f.clients {
			r.inForce(p, drawn == j)
		}
	}
}

// disturb changes the file of a good client in a way that must not keep the client out.
func (r *rules) disturb() {
	i := rand.IntN(clientsPerKind)
	name := fmt.Sprintf("good%d.key", i)
	path, text := filepath.Join(r.dir, name), certificateText(r.goodFiles[name])
	switch rand.IntN(4) {
	case 0:
		r.must(os.WriteFile(path, []byte(text), 0o600))
	case 1:
		r.must(os.WriteFile(path, []byte(text[:rand.IntN(len(text))]), 0o600))
		time.Sleep(rand.N(200 * time.Millisecond)) // the file is broken now
		r.must(os.WriteFile(path, []byte(text), 0o600))
	case 2:
		r.must(os.Rename(path, path+".renamed"))
		r.must(os.Rename(path+".renamed", path))
	case 3:
		r.must(r.replaceFile(path, text, 0o600))
	}
	r.tally.count("changes", "disturbances of certificates")
}

func certificateText(c *zmqauth.Certificate) string {
	var text strings.Builder
	text.WriteString("metadata\n")
	for name, value := range c.Metadata {
		fmt.Fprintf(&text, "    %s = %q\n", name, value)
	}
	fmt.Fprintf(&text, "curve\n    public-key = %q\n", c.Public.String())
	return text.String()
}

func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}
