package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	snapshotFormat   = "zmqauth-fleet-1"
	snapshotInterval = 5 * time.Minute
	snapshotLimit    = 1 << 30 // bytes
)

// header is the first line of a snapshot.
type header struct {
	Format   string    `json:"format"`
	Trust    string    `json:"trust"` // the options that decided which entries count
	Position Position  `json:"position"`
	Fresh    time.Time `json:"fresh"`
	Lines    int       `json:"lines"`
	Sum      string    `json:"sha256"` // of the lines
}

// line is one of the others.
type line struct {
	Key      string          `json:"key"`
	Revision uint64          `json:"revision,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`  // of what holds; none: it is gone
	Notice   json.RawMessage `json:"notice,omitempty"` // the revocation that is announced
}

// digest tells options apart that trust others.
func (t trust) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%s %t", t.fleet, t.unsigned)
	var signers []string
	for _, key := range t.signers {
		signers = append(signers, hex.EncodeToString(key))
	}
	slices.Sort(signers)
	fmt.Fprint(h, signers)
	return hex.EncodeToString(h.Sum(nil))
}

// encode is a snapshot.
func (l *ledger) encode(p Position, proof time.Time) ([]byte, error) {
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	count := 0
	keys := maps.Clone(l.records)
	for key := range l.notices {
		keys[key] = l.records[key]
	}
	for key, r := range keys {
		next := line{Key: key, Revision: r.revision, Value: r.value}
		if e, announced := l.notices[key]; announced {
			text, err := e.Encode()
			if err != nil {
				return nil, err
			}
			next.Notice = text
		}
		if err := lines.Encode(next); err != nil {
			return nil, err
		}
		count++
	}
	sum := sha256.Sum256(body.Bytes())
	first, err := json.Marshal(header{Format: snapshotFormat, Trust: l.trust.digest(), Position: p,
		Fresh: wall(proof), Lines: count, Sum: hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	return append(append(first, '\n'), body.Bytes()...), nil
}

var errDamaged = errors.New("it is damaged, or no snapshot of this fleet")

// decode reads a snapshot into an empty ledger. Where other keys were trusted, each grant is
// verified again.
func (l *ledger) decode(text []byte) (h header, changes []change, err error) {
	first, body, _ := bytes.Cut(text, []byte("\n"))
	sum := sha256.Sum256(body)
	if err := json.Unmarshal(first, &h); err != nil || h.Format != snapshotFormat ||
		h.Sum != hex.EncodeToString(sum[:]) {
		return h, nil, errDamaged
	}
	lines := json.NewDecoder(bytes.NewReader(body))
	isTrusted := h.Trust == l.trust.digest()
	for range h.Lines {
		var next line
		if lines.Decode(&next) != nil {
			return h, nil, errDamaged
		}
		c, err := l.restore(next, isTrusted)
		if err != nil {
			return h, nil, err
		}
		changes = append(changes, c...)
	}
	return h, changes, nil
}

// restore takes one line of a snapshot. Of a grant that does not count any more it keeps the
// revision. Revocations and lists of addresses counted when they were saved: they stay.
func (l *ledger) restore(from line, isTrusted bool) (changes []change, err error) {
	if from.Notice != nil {
		n, err := ParseEntry(from.Key, from.Notice)
		if err != nil {
			return nil, err
		}
		l.notices[from.Key] = n
	}
	if from.Value == nil {
		if from.Revision > 0 {
			l.records[from.Key] = record{revision: from.Revision}
		}
		return nil, nil
	}
	e, err := ParseEntry(from.Key, from.Value)
	if err != nil {
		return nil, err
	}
	if isGrant := e.isClient() && e.State == Granted; isGrant && !isTrusted &&
		l.trust.verify(e) != nil {
		l.records[from.Key] = record{revision: max(from.Revision, e.Revision)}
		return nil, nil
	}
	l.records[from.Key] = record{max(from.Revision, e.Revision), e.State, from.Value}
	return []change{{e, l.standing(from.Key)}}, nil
}

// load loads the snapshot, if there is one. One that is damaged counts for nothing: everything is
// loaded from the store. One that cannot be trusted is an error.
func (m *Member) load() error {
	path := m.options.Snapshot
	text, stamp, err := files.Read(path, snapshotLimit, nil)
	if files.IsGone(err) {
		return nil
	}
	if err == nil {
		err = stamp.CheckSecret(path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	restored := newLedger(m.options.trust())
	h, changes, err := restored.decode(text)
	if err != nil {
		m.options.Logger.Error("zmqauth: fleet: the snapshot is not used", "snapshot", path,
			"error", err)
		return nil
	}
	m.ledger, m.position, m.loaded, m.awaiting = restored, h.Position, true, true
	if h.Trust != restored.trust.digest() {
		m.position = Position{} // what did not count before may count now
	}
	if now := m.options.now(); !h.Fresh.IsZero() && !h.Fresh.After(now) {
		m.proof = now.Add(h.Fresh.Sub(now.Round(0))) // with a monotonic reading
		m.savedProof = m.proof
	}
	return m.enforcer.put(changes)
}

// save saves the snapshot if something has changed, or if the proof in it is getting old. It logs
// an error, too.
func (m *Member) save() error {
	path := m.options.Snapshot
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	isOld := m.closed && m.proof != m.savedProof ||
		m.proof.Sub(m.savedProof) > max(m.options.MaxStale/4, snapshotInterval)
	if path == "" || !m.loaded || !m.changed && !isOld {
		m.mu.Unlock()
		return nil
	}
	m.changed, m.savedProof = false, m.proof
	text, err := m.ledger.encode(m.position, m.proof)
	m.mu.Unlock()
	if err == nil {
		err = replace(path, text)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("fleet: snapshot %s: %w", path, files.Bare(err))
	m.options.Logger.Error("zmqauth: the snapshot cannot be saved", "error", err)
	m.mu.Lock()
	m.changed = true
	m.mu.Unlock()
	return err
}

// replace writes a file that its owner alone can read.
func replace(path string, text []byte) error {
	err := files.WriteNew(path, text, 0o600)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	stamp, err := files.StampOf(path)
	if err == nil {
		err = stamp.CheckSecret(path)
	}
	if err != nil {
		return err
	}
	return files.Replace(path, stamp, text)
}
