package zmqauth

import (
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth/internal/passhash"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// FuzzPasswordTable: a good hash is kept as a hash. A broken hash is refused, and never taken for a
// password in clear.
func FuzzPasswordTable(f *testing.F) {
	for _, text := range []string{
		"", "secret", "$1$md5", "$2y$05$short", strings.Repeat("x", zap.MaxCredential+1),
		"$2y$04$" + strings.Repeat("a", 53), "$2y$31$" + strings.Repeat("a", 53),
		"$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g",
		"$argon2id$v=16$m=8,t=1,p=1$YWJjZGVmZ2g$YWJjZGVmZ2g",
		"$argon2id$v=19$m=8,t=1,p=1$YWJjZGVmZ2g$" + strings.Repeat("A", 300),
	} {
		f.Add(text)
	}
	a := new(Authenticator) // a table needs only its key of digests
	f.Fuzz(func(t *testing.T, text string) {
		hash, recognised, err := passhash.Parse(text)
		table := newPasswordTable()
		added := table.add(a, "ann", text)
		entry := table.users["ann"]
		fits := text != "" && len(text) <= zap.MaxCredential
		switch {
		case err != nil || !fits:
			if added == nil || entry != nil || len(table.decoys) != 0 {
				t.Fatalf("%q: %v, and yet it is in the table", text, err)
			}
		case added != nil || entry == nil:
			t.Fatalf("%q is not in the table: %v", text, added)
		case !recognised:
			if entry.hash != nil || entry.digest.Load() == nil || len(table.decoys) != 0 {
				t.Fatalf("the password %q: %+v", text, entry)
			}
		case entry.hash == nil || entry.hash.Text() != hash.Text() || entry.digest.Load() != nil ||
			len(table.decoys) != 1:
			t.Fatalf("the hash %q: %+v", text, entry)
		}
	})
}
