package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/reminder"
)

const (
	snapshotFormat   = "zmqauth-fleet-1"
	snapshotInterval = 5 * time.Minute
	retryInterval    = 5 * time.Second
	snapshotLimit    = 1 << 30 // bytes
	journalLimit     = 1 << 20 // bytes that are added before there is a new snapshot, at least
)

// header is the first line of a snapshot.
type header struct {
	Format   string    `json:"format"`
	Trust    string    `json:"trust"` // the options that decided which entries count
	Position Position  `json:"position"`
	Fresh    time.Time `json:"fresh"`
	Size     int       `json:"size"`   // bytes of the lines that the snapshot began with
	Sum      string    `json:"sha256"` // of those; each line that was added has its own

	begun, added int // bytes of the file before and with the lines that were added, as decode found
}

// line is one of the others.
type line struct {
	Key      string          `json:"key,omitempty"`
	Revision uint64          `json:"revision,omitempty"`
	Value    json.RawMessage `json:"value,omitempty"`  // of what holds; none: it is gone
	Notice   json.RawMessage `json:"notice,omitempty"` // the revocation that is announced

	// Of lines that were added.
	Position *Position  `json:"position,omitempty"` // after the change
	Fresh    *time.Time `json:"fresh,omitempty"`    // a proof
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
	keys := maps.Clone(l.records)
	for key := range l.notices {
		keys[key] = l.records[key]
	}
	for key, r := range keys {
		next := line{Key: key, Revision: r.revision, Value: json.RawMessage(r.value)}
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
	}
	sum := sha256.Sum256(body.Bytes())
	first, err := json.Marshal(header{Format: snapshotFormat, Trust: l.trust.digest(), Position: p,
		Fresh: wall(proof), Size: body.Len(), Sum: hex.EncodeToString(sum[:])})
	if err != nil {
		return nil, err
	}
	return append(append(first, '\n'), body.Bytes()...), nil
}

var errDamaged = errors.New("it is damaged, or no snapshot of this fleet")

// decode reads a snapshot into an empty ledger, and the lines that were added to it, up to one that
// is torn. Where other keys were trusted, each grant is verified again.
func (l *ledger) decode(text []byte) (h header, changes []change, err error) {
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if err := json.Unmarshal(first, &h); err != nil || h.Format != snapshotFormat || h.Size < 0 ||
		h.Size > len(rest) {
		return h, nil, errDamaged
	}
	h.begun = len(text) - len(rest) + h.Size
	body, added := rest[:h.Size], rest[h.Size:]
	if sum := sha256.Sum256(body); h.Sum != hex.EncodeToString(sum[:]) {
		return h, nil, errDamaged
	}
	isTrusted := h.Trust == l.trust.digest()
	entries := make(map[string]*item)
	for _, one := range l.parseLines(body, isTrusted) {
		if one.err != nil {
			return h, nil, one.err
		}
		l.restore(one, entries)
	}
	for next := range bytes.Lines(added) {
		text, ok := unsealed(next)
		if !ok {
			break
		}
		one := l.parseLine(text, isTrusted)
		if one.err != nil {
			return h, nil, one.err
		}
		h.added += len(next)
		l.restore(one, entries)
		if one.Position != nil {
			h.Position = *one.Position
		}
		if one.Fresh != nil {
			h.Fresh = *one.Fresh
		}
	}
	for key, e := range entries {
		changes = append(changes, change{e, l.standing(key)})
	}
	return h, changes, nil
}

// parsed is a line of a snapshot.
type parsed struct {
	line
	entry  *item  // nil: it is gone
	notice *Entry // nil: there is none
	err    error
}

// parseLines parses lines on all processors.
func (l *ledger) parseLines(body []byte, isTrusted bool) []parsed {
	texts := slices.Collect(bytes.Lines(body))
	all := make([]parsed, len(texts))
	inParallel(len(texts), func(i int) { all[i] = l.parseLine(texts[i], isTrusted) })
	return all
}

func (l *ledger) parseLine(text []byte, isTrusted bool) (p parsed) {
	if json.Unmarshal(text, &p.line) != nil {
		p.err = errDamaged
		return p
	}
	if p.Notice != nil {
		n, err := ParseEntry(p.Key, p.Notice)
		p.notice, p.err = &n, err
	}
	if p.err != nil || p.Value == nil {
		return p
	}
	e, err := ParseEntry(p.Key, p.Value)
	if p.Revision, p.err = max(p.Revision, e.Revision), err; err != nil {
		return p
	}
	// Of a grant that does not count any more the revision is kept. Revocations and lists of
	// addresses counted when they were saved: they stay.
	if isGrant := e.Kind.isClient() && e.State == Granted; isTrusted || !isGrant ||
		l.trust.verify(e) == nil {
		i := itemOf(e)
		p.entry = &i
	}
	return p
}

// restore takes a line of a snapshot. entries are those that hold.
func (l *ledger) restore(from parsed, entries map[string]*item) {
	if from.notice != nil {
		l.notices[from.Key] = *from.notice
	}
	switch {
	case from.entry != nil:
		l.records[from.Key] = record{from.Revision, from.entry.state, from.entry.text}
		l.settle(from.entry)
		entries[from.Key] = from.entry
	case from.Revision > 0:
		l.records[from.Key] = record{revision: max(from.Revision, l.records[from.Key].revision)}
		delete(entries, from.Key)
	}
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
	if now := m.options.Clock(); !h.Fresh.IsZero() && !h.Fresh.After(now) {
		m.proof = now.Add(h.Fresh.Sub(now.Round(0))) // with a monotonic reading
		m.savedProof = m.proof
	}
	if err := m.enforcer.put(changes); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err == nil {
		m.journal.use(file, h.added, h.begun)
		err = file.Truncate(int64(h.begun + h.added)) // nothing is read behind a torn line
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, files.Bare(err))
	}
	return nil
}

// save saves the snapshot if something has changed. It logs an error, too.
func (m *Member) save() error {
	path := m.options.Snapshot
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	if path == "" || !m.loaded || !m.changed {
		m.mu.Unlock()
		return nil
	}
	m.changed = false
	now := &ledger{m.ledger.trust, maps.Clone(m.ledger.records), maps.Clone(m.ledger.notices)}
	p, proof := m.position, m.proof
	m.journal.meanwhile = new(bytes.Buffer)
	m.mu.Unlock()
	text, err := now.encode(p, proof)
	if err == nil {
		err = m.replace(path, text)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.journal.meanwhile = nil
	if err == nil {
		m.savedProof = proof
		return nil
	}
	m.changed = true
	err = fmt.Errorf("fleet: snapshot %s: %w", path, files.Bare(err))
	if m.unsaved.Due(err.Error(), m.options.Clock(), reminder.First) {
		m.options.Logger.Error("zmqauth: the snapshot cannot be saved", "error", err)
	}
	return err
}

// replace puts a new snapshot in the place of that before, with what was added meanwhile.
func (m *Member) replace(path string, text []byte) (err error) {
	stamp, err := files.StampOf(path)
	if err == nil {
		err = stamp.CheckSecret(path)
	}
	if err != nil && !files.IsGone(err) {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".zmqauth-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = file.Close() // it goes
			_ = os.Remove(file.Name())
		}
	}()
	if _, err = file.Write(text); err == nil {
		err = file.Sync()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		_, err = file.Write(m.journal.meanwhile.Bytes())
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err == nil {
		m.journal.use(file, m.journal.meanwhile.Len(), len(text))
	}
	return err
}
