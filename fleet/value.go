package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// value is the JSON of an entry. The order of its fields is part of what is signed.
type value struct {
	State     State             `json:"state,omitempty"`
	UserID    string            `json:"user,omitempty"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Hash      string            `json:"hash,omitempty"`
	NotBefore string            `json:"not-before,omitempty"`
	NotAfter  string            `json:"not-after,omitempty"`
	List      List              `json:"list,omitempty"`
	Addresses []string          `json:"addresses,omitempty"`
	Epoch     string            `json:"epoch,omitempty"`
	Report    *Status           `json:"report,omitempty"`
	Sums      []byte            `json:"sums,omitempty"`
	By        string            `json:"by,omitempty"`
	Why       string            `json:"why,omitempty"`
	At        string            `json:"at,omitempty"`
	Revision  uint64            `json:"revision,omitempty"`
	Signature []byte            `json:"signature,omitempty"`
}

// Encode is the value that a store keeps for an entry: JSON in its one canonical form, without
// spaces, fields in a fixed order, names of metadata sorted, times in UTC. The error names the key.
func (e Entry) Encode() ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, entryError(e.Key(), err)
	}
	text, err := e.encode()
	if err == nil {
		err = e.checkSize(len(text))
	}
	if err != nil {
		return nil, entryError(e.Key(), err)
	}
	return text, nil
}

// checkSize tells whether the value of an entry may have so many bytes.
func (e Entry) checkSize(size int) error {
	limit := MaxValue
	if e.Kind == KindServer {
		limit = maxReport
	}
	if size > limit {
		return fmt.Errorf("larger than %d bytes", limit)
	}
	return nil
}

// encode is Encode for an entry that has been checked.
func (e Entry) encode() ([]byte, error) {
	return json.Marshal(value{State: e.State, UserID: e.UserID, Metadata: e.Metadata,
		Hash: string(e.Hash), NotBefore: formatTime(e.NotBefore), NotAfter: formatTime(e.NotAfter),
		List: e.List, Addresses: e.Addresses, Epoch: e.Epoch, Report: e.Report, Sums: e.Sums,
		By: e.By, Why: e.Why, At: formatTime(e.At), Revision: e.Revision, Signature: e.Signature})
}

// ParseEntry reads what a store has for a key. It takes exactly what Encode writes, and of a
// server's report what a later version may have added. A Store gives its Sink the entry as it is.
// An error names the key and never a secret; the entry that comes with it is for the Sink, too,
// which refuses it, counts it and logs it.
func ParseEntry(key string, text []byte) (Entry, error) {
	e, err := parse(key, string(text))
	if err != nil {
		err = entryError(key, err)
		return Entry{key: key, broken: err}, err
	}
	return e, nil
}

var errNotCanonical = errors.New("the value is not in the canonical form that Encode writes")

func parse(key, text string) (Entry, error) { return parseInto(nil, key, text) }

// parseInto is parse with a map for the metadata, see scan.
func parseInto(metadata map[string]string, key, text string) (Entry, error) {
	e, err := parseKey(key)
	if err != nil {
		return e, err
	}
	if err := e.checkSize(len(text)); err != nil {
		return e, err
	}
	if e.Kind != KindServer {
		if scanned, ok := e.scan(text, metadata); ok {
			return scanned, scanned.check()
		}
	}
	return e.unmarshal(text)
}

// unmarshal reads any value of an entry whose key is known.
func (e Entry) unmarshal(text string) (Entry, error) {
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return e, errNotCanonical // what json says may repeat a secret
	}
	e.State, e.UserID, e.Metadata, e.Hash = v.State, v.UserID, v.Metadata, Hash(v.Hash)
	e.List, e.Addresses, e.Epoch, e.Report = v.List, v.Addresses, v.Epoch, v.Report
	e.By, e.Why, e.Revision, e.Signature, e.Sums = v.By, v.Why, v.Revision, v.Signature, v.Sums
	for _, field := range []struct {
		text string
		time *time.Time
	}{{v.NotBefore, &e.NotBefore}, {v.NotAfter, &e.NotAfter}, {v.At, &e.At}} {
		var err error
		if *field.time, err = parseTime(field.text); err != nil {
			return e, err
		}
	}
	if err := e.check(); err != nil {
		return e, err
	}
	if e.Kind == KindServer {
		return e, nil
	}
	again, err := e.encode()
	if err != nil || string(again) != text {
		return e, errNotCanonical
	}
	e.text = text
	return e, nil
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, fmt.Errorf("%.40q is not a time in RFC 3339", text)
	}
	return t.UTC(), nil
}

func entryError(key string, err error) error {
	return fmt.Errorf("fleet: entry %.600q: %w", key, err)
}
