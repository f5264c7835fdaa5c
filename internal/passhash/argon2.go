package passhash

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// argon2Hash is the parts of an argon2id hash (RFC 9106).
type argon2Hash struct {
	argon2Cost
	salt, sum []byte
}

// argon2Cost is the parameters that decide how expensive a hash is to compute.
type argon2Cost struct {
	memory  uint32 // KiB
	passes  uint32
	threads uint8
}

// The limits of a hash that is accepted. Everybody who knows the name of a user can make the server
// compute that user's hash.
const (
	maxArgon2Memory  = 256 * 1024 // KiB
	maxArgon2Passes  = 16
	maxArgon2Threads = 8 // the defaults of common tools are not above that

	minArgon2Bytes = 8 // of the salt, and of the sum
	maxArgon2Bytes = 64
)

// newMemory is the memory of the hashes that NewArgon2 makes, in KiB. With two passes it is the
// first of OWASP's recommendations for argon2id with one thread and moderate memory. The server
// verifies at most one hash per processor at a time, so that more threads would gain nothing, and
// 19 MiB for each hash is memory that it has.
const newMemory = 19 * 1024

// The passes of the hashes that NewArgon2 makes.
const (
	MinPasses     = 2 // one would be too cheap with so little memory
	DefaultPasses = 2
	MaxPasses     = maxArgon2Passes
)

const (
	newSalt = 16 // bytes, as RFC 9106, section 3.1, recommends
	newSum  = 32 // bytes
)

// New is NewArgon2 with DefaultPasses.
func New(password string) (text string, err error) { return NewArgon2(password, DefaultPasses) }

// NewArgon2 hashes a password of 1 to MaxPassword bytes with a new salt, in MinPasses to MaxPasses
// passes over 19 MiB. It returns the text of an argon2id hash in the PHC string format
// ($argon2id$v=19$m=19456,t=2,p=1$…). The only errors are a password of another length and
// another number of passes.
func NewArgon2(password string, passes int) (text string, err error) {
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	if passes < MinPasses || passes > MaxPasses {
		return "", fmt.Errorf("argon2id in %d passes: %d to %d", passes, MinPasses, MaxPasses)
	}
	h := argon2Hash{
		argon2Cost: argon2Cost{memory: newMemory, passes: uint32(passes), threads: 1},
		salt:       make([]byte, newSalt),
	}
	_, _ = rand.Read(h.salt) // never fails
	h.sum = h.compute([]byte(password), newSum)
	return h.String(), nil
}

func (h *argon2Hash) compute(password []byte, size int) []byte {
	return argon2.IDKey(password, h.salt, h.passes, h.memory, h.threads, uint32(size))
}

func (h *argon2Hash) matches(password []byte) bool {
	return subtle.ConstantTimeCompare(h.compute(password, len(h.sum)), h.sum) == 1
}

// String returns the parameters as the PHC string format has them.
func (c argon2Cost) String() string {
	return fmt.Sprintf("m=%d,t=%d,p=%d", c.memory, c.passes, c.threads)
}

// String returns the hash in the PHC string format.
func (h *argon2Hash) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$%s$%s$%s",
		argon2.Version, h.argon2Cost, encode(h.salt), encode(h.sum))
}

var errArgon2 = errors.New(
	"not an argon2id hash in the PHC string format, $argon2id$v=19$m=…,t=…,p=…$salt$hash")

// parseArgon2 reads the part of a hash after "$argon2id$".
func parseArgon2(text string) (*argon2Hash, error) {
	parts := strings.Split(text, "$")
	if strings.ContainsAny(text, "\r\n") { // the base64 decoder would ignore them
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
		return argon2Cost{}, fmt.Errorf("an argon2id hash of m=%d,t=%d: at most m=%d,t=%d",
			memory, passes, maxArgon2Memory, maxArgon2Passes)
	case threads > maxArgon2Threads:
		return argon2Cost{}, fmt.Errorf("an argon2id hash of p=%d: at most %d", threads, maxArgon2Threads)
	case threads < 1 || passes < 1 || memory < 8*threads: // RFC 9106, section 3.1
		return argon2Cost{}, errArgon2
	}
	return argon2Cost{uint32(memory), uint32(passes), uint8(threads)}, nil
}
