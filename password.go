package zmqauth

import (
	"bytes"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// passwordHash is a password as bcrypt, which looks at the first 72 bytes only, or argon2id keeps it. Its text may stand in a
// table or file of passwords in place of the password.
type passwordHash struct {
	text   string
	argon2 *argon2Hash // nil: bcrypt
}

// argon2Hash is an argon2id hash in parts (RFC 9106).
type argon2Hash struct {
	argon2Cost
	salt, sum []byte
}

type argon2Cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// Limits on what a hash may cost, because whoever knows a user's name can have it computed.
const (
	maxBcryptCost    = 16         // some seconds
	maxArgon2Memory  = 256 * 1024 // KiB
	maxArgon2Passes  = 16
	maxArgon2Threads = 8 // what tools take by default is at most that
	minArgon2Bytes   = 8 // of the salt, and of the sum
	maxArgon2Bytes   = 64
)

// The cost of the hashes that HashPassword makes: the first of OWASP's recommendations for argon2id that runs on a
// single thread in a moderate amount of memory. Hashes are verified at most one for each processor at once, so that more
// threads would gain nothing; and 19 MiB for each is memory that a server has.
var hashPasswordCost = argon2Cost{memory: 19 * 1024, passes: 2, threads: 1}

const (
	hashPasswordSalt = 16 // bytes, as RFC 9106, section 3.1, recommends
	hashPasswordSum  = 32
)

// HashPassword makes an entry for a table or file of passwords from a password of 1 to 255 bytes: an argon2id hash with a
// new salt, in the PHC string format ($argon2id$v=19$m=19456,t=2,p=1$…).
func HashPassword(password string) (string, error) {
	if password == "" || len(password) > zap.MaxCredential {
		return "", fmt.Errorf("zmqauth: a password has 1 to %d bytes", zap.MaxCredential)
	}
	h := argon2Hash{argon2Cost: hashPasswordCost, salt: make([]byte, hashPasswordSalt)}
	_, _ = rand.Read(h.salt) // never fails
	h.sum = h.compute([]byte(password), hashPasswordSum)
	return h.String(), nil
}

func (h *argon2Hash) compute(password []byte, size int) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(size))
}

// String is the hash in the PHC string format.
func (h *argon2Hash) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.passes, h.threads, encode(h.salt), encode(h.sum))
}

// matches computes the hash of the password, which takes long, and compares.
func (h *passwordHash) matches(password []byte) bool {
	if h.argon2 == nil {
		// To bcrypt a password ends at its first NUL byte, and then begins again.
		return bcrypt.CompareHashAndPassword([]byte(h.text), password) == nil && bytes.IndexByte(password, 0) < 0
	}
	return subtle.ConstantTimeCompare(h.argon2.compute(password, len(h.argon2.sum)), h.argon2.sum) == 1
}

// parseHash reads a hash. recognised tells whether the text claims to be one: only then is err of interest.
func parseHash(text string) (h *passwordHash, recognised bool, err error) {
	for _, prefix := range []string{"$2a$", "$2b$", "$2y$"} {
		if strings.HasPrefix(text, prefix) {
			return &passwordHash{text: text}, true, checkBcrypt(text)
		}
	}
	if rest, ok := strings.CutPrefix(text, "$argon2id$"); ok {
		parsed, err := parseArgon2(rest)
		return &passwordHash{text: text, argon2: parsed}, true, err
	}
	return nil, false, nil
}

const (
	bcryptLength   = 60
	bcryptAlphabet = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func checkBcrypt(text string) error {
	const head = len("$2y$10$")
	if len(text) != bcryptLength || strings.Trim(text[head:], bcryptAlphabet) != "" {
		return errors.New("not a whole bcrypt hash")
	}
	cost, err := bcrypt.Cost([]byte(text))
	switch {
	case err != nil:
		return errors.New("not a bcrypt hash")
	case cost > maxBcryptCost:
		return fmt.Errorf("a bcrypt hash of cost %d: at most %d", cost, maxBcryptCost)
	}
	return nil
}

var errArgon2 = errors.New("not an argon2id hash in the PHC string format, $argon2id$v=19$m=…,t=…,p=…$salt$hash")

// parseArgon2 reads what follows "$argon2id$".
func parseArgon2(text string) (*argon2Hash, error) {
	parts := strings.Split(text, "$")
	if strings.ContainsAny(text, "\r\n") { // which base64 would pass over
		return nil, errArgon2
	}
	if len(parts) != 4 || parts[0] != fmt.Sprintf("v=%d", argon2.Version) {
		return nil, errArgon2
	}
	cost, err := parseArgon2Cost(parts[1])
	if err != nil {
		return nil, err
	}
	h := &argon2Hash{argon2Cost: cost}
	for i, out := range []*[]byte{&h.salt, &h.sum} {
		*out, err = base64.RawStdEncoding.Strict().DecodeString(parts[2+i])
		if err != nil || len(*out) < minArgon2Bytes || len(*out) > maxArgon2Bytes {
			return nil, errArgon2
		}
	}
	return h, nil
}

// parseArgon2Cost reads "m=19456,t=2,p=1".
func parseArgon2Cost(text string) (argon2Cost, error) {
	fields := strings.Split(text, ",")
	if len(fields) != 3 {
		return argon2Cost{}, errArgon2
	}
	var values [3]uint64
	for i, name := range []string{"m=", "t=", "p="} {
		number, ok := strings.CutPrefix(fields[i], name)
		value, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			return argon2Cost{}, errArgon2
		}
		values[i] = value
	}
	memory, passes, threads := values[0], values[1], values[2]
	switch {
	case memory > maxArgon2Memory || passes > maxArgon2Passes:
		return argon2Cost{}, fmt.Errorf("an argon2id hash of m=%d,t=%d: at most m=%d,t=%d", memory, passes, maxArgon2Memory, maxArgon2Passes)
	case threads > maxArgon2Threads:
		return argon2Cost{}, fmt.Errorf("an argon2id hash of p=%d: at most %d", threads, maxArgon2Threads)
	case threads < 1 || passes < 1 || memory < 8*threads: // RFC 9106, section 3.1
		return argon2Cost{}, errArgon2
	}
	return argon2Cost{memory: uint32(memory), passes: uint32(passes), threads: uint8(threads)}, nil
}
