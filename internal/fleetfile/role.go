package fleetfile

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/zmqauth/zmqauth/fleet/natsstore"
)

// Extension is the end of the names of the files for a role.
func Extension(r natsstore.Role) string {
	if r == natsstore.RoleAdministrator {
		return ".admin"
	}
	return "." + string(r)
}

func parseRole(text string) (natsstore.Role, error) {
	switch role := natsstore.Role(text); role {
	case natsstore.RoleServer, natsstore.RoleAdministrator, natsstore.RoleEngine:
		return role, nil
	}
	return "", errors.New("none of server, administrator, engine")
}

// maxName is the length of the longest name in bytes. It is that of package fleet.
const maxName = 64

// CheckName tells whether a text can be the name of a fleet, a member or a bucket.
func CheckName(name string) error {
	isOther := func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
			c == '-' || c == '_')
	}
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, isOther) ||
		name[0] == '-' {
		return fmt.Errorf("%.80q: a name has 1 to %d letters, digits, - and _, and no - first",
			name, maxName)
	}
	return nil
}

// secret is a text that nothing shows.
type secret string

// Format writes a placeholder for every verb.
func (secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

var (
	errNkey = errors.New("not the public nkey of a user, which begins with U")
	errSeed = errors.New("not the seed of a user's nkey, which begins with SU")
)

func checkNkey(text string) error {
	if !nkeys.IsValidPublicUserKey(text) {
		return errNkey
	}
	return nil
}

// parseSeed checks a seed and returns the public nkey, too. The error does not repeat it.
func parseSeed(text string) (public string, err error) {
	pair, err := nkeys.FromSeed([]byte(text))
	if err != nil {
		return "", errSeed
	}
	defer pair.Wipe()
	if public, err = pair.PublicKey(); err != nil || !nkeys.IsValidPublicUserKey(public) {
		return "", errSeed
	}
	return public, nil
}

// newSeed makes an nkey.
func newSeed() (seed secret, public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", err
	}
	defer pair.Wipe()
	text, err := pair.Seed()
	if err != nil {
		return "", "", err
	}
	public, err = pair.PublicKey()
	return secret(text), public, err
}
