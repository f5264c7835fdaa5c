package fleet

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"time"
)

// journal adds to the snapshot what has changed since, so that a server that is killed forgets no
// revocation that it has heard of. A line is in the file when add returns: the end of the process
// does not lose it, and sync brings it to the disk. The zero value adds to nothing.
type journal struct {
	file      *os.File
	size      int           // bytes that were added
	begun     int           // bytes of the snapshot itself
	unsynced  bool          //
	meanwhile *bytes.Buffer // what is added while the next snapshot is written; nil: none is
	failed    error         // why it adds to nothing any more
}

// use adds to a snapshot from now on.
func (j *journal) use(file *os.File, size, begun int) {
	j.close()
	*j = journal{file: file, size: size, begun: begun, unsynced: size > 0, meanwhile: j.meanwhile}
}

func (j *journal) close() {
	if j.file != nil {
		_ = j.file.Close() // what has to be on disk was synced
	}
	j.file = nil
}

// add adds a line.
func (j *journal) add(l line) {
	text, err := json.Marshal(l)
	if err != nil {
		j.fail(err)
		return
	}
	text = sealed(text)
	if j.meanwhile != nil {
		j.meanwhile.Write(text)
	}
	if j.file == nil {
		return
	}
	n, err := j.file.Write(text)
	if j.size, j.unsynced = j.size+n, true; err != nil {
		j.fail(err)
	}
}

// fail ends the journal: what follows a torn line would not be read.
func (j *journal) fail(err error) {
	j.close()
	j.failed = err
}

// isFull says that a new snapshot is due.
func (j *journal) isFull() bool {
	return j.failed != nil || j.size > max(journalLimit, j.begun)
}

// takeUnsynced is the file if something has to be synced, else nil.
func (j *journal) takeUnsynced() *os.File {
	if !j.unsynced || j.file == nil {
		return nil
	}
	j.unsynced = false
	return j.file
}

// sealed is a line with a digest, which tells whether it is whole.
func sealed(text []byte) []byte {
	sum := sha256.Sum256(text)
	line := append(hex.AppendEncode(nil, sum[:8]), ' ')
	return append(append(line, text...), '\n')
}

// unsealed is the text of a line; ok is false if it is torn.
func unsealed(line []byte) (text []byte, ok bool) {
	sum, text, _ := bytes.Cut(line, []byte(" "))
	text, isWhole := bytes.CutSuffix(text, []byte("\n"))
	want := sha256.Sum256(text)
	return text, isWhole && string(sum) == hex.EncodeToString(want[:8])
}

// noteChange adds a change to the snapshot; m.mu is held.
func (m *Member) noteChange(e Entry) {
	if m.options.Snapshot == "" || e.Kind.isForLoading() {
		return
	}
	p := m.position
	l := line{Position: &p}
	if r, known := m.ledger.records[e.Key()]; known {
		l.Key, l.Revision, l.Value = e.Key(), r.revision, json.RawMessage(r.value)
	}
	m.journal.add(l)
	m.changed = true
}

// noteNotice adds an announced revocation to the snapshot; m.mu is held.
func (m *Member) noteNotice(e Entry) {
	if m.options.Snapshot == "" {
		return
	}
	text, err := e.Encode()
	if err != nil {
		return
	}
	m.journal.add(line{Key: e.Key(), Notice: text})
	m.changed = true
}

// noteProof adds a proof to the snapshot, now and then; m.mu is held.
func (m *Member) noteProof() {
	interval := snapshotInterval
	if limit := m.options.MaxStale; limit > 0 {
		interval = min(interval, limit/20)
	}
	if m.options.Snapshot == "" || !m.savedProof.IsZero() && m.proof.Sub(m.savedProof) < interval {
		return
	}
	at, p := wall(m.proof), m.position
	m.journal.add(line{Fresh: &at, Position: &p})
	m.savedProof = m.proof
}

// sync brings to the disk what was added to the snapshot.
func (m *Member) sync() {
	m.saving.Lock() // the file stays open meanwhile
	defer m.saving.Unlock()
	m.mu.Lock()
	file := m.journal.takeUnsynced()
	m.mu.Unlock()
	if file == nil {
		return
	}
	if err := file.Sync(); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.journal.fail(err)
	}
}

// syncInterval is the time between two looks at what has to be synced.
const syncInterval = 100 * time.Millisecond
