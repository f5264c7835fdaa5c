package fleet

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// sum is the digest of an entry with its signature.
type sum [sha256.Size]byte

const (
	summed = "zmqauth fleet sum 1" // begins what a sum is of
	// maxSums is how many sums an entry has: they fit into MaxValue in base64.
	maxSums = 10_000
)

// sumOf is the sum of an entry in a fleet. text is the entry, encoded.
func sumOf(fleet, key string, text []byte) sum {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", summed, fleet, key)
	h.Write(text)
	return sum(h.Sum(nil))
}

// Sums are entries of KindSums for many others, unsigned, without By, Why, At and revision. A
// signer who puts them vouches that those others are signed, and a server that loads them all at
// once verifies his few signatures in place of all of theirs. Entries that none of the signers has
// signed are left out. Sums let nobody in: what is known and newer still holds.
func Sums(fleet string, entries []Entry, signers ...ed25519.PublicKey) ([]Entry, error) {
	var all []sum
	known := newLedger(trust{fleet: fleet, signers: signers}).verify(entries)
	for i, v := range known.verdicts {
		if v.err == nil && !v.skipped && !entries[i].isForLoading() {
			all = append(all, sumOf(fleet, known.keys[i], v.text))
		}
	}
	var made []Entry
	for part := range slices.Chunk(all, maxSums) {
		e := Entry{Kind: KindSums, Name: strconv.Itoa(len(made)), State: Granted}
		for _, one := range part {
			e.Sums = append(e.Sums, one[:]...)
		}
		made = append(made, e)
	}
	return made, nil
}

func (e Entry) checkSums() error {
	switch {
	case e.State != Granted:
		return errors.New(`the state is not "granted"`)
	case len(e.Sums) == 0 || len(e.Sums)%len(sum{}) != 0 || len(e.Sums) > maxSums*len(sum{}):
		return fmt.Errorf("the sums are not 1 to %d of %d bytes", maxSums, len(sum{}))
	}
	return checkToken("sums", e.Name)
}
