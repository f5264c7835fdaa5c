package fleet

import (
	"fmt"
	"os"

	"github.com/zmqauth/zmqauth/internal/files"
)

// spool is a file of events that wait for the store, one a line.
type spool struct {
	file *os.File
	size int
	max  int
}

// openSpool opens a spool, or makes one, and reads what is in it.
func openSpool(path string, limit int) (*spool, []byte, error) {
	text, stamp, err := files.Read(path, 2*limit, nil)
	switch {
	case files.IsGone(err):
		err = files.WriteNew(path, nil, 0o600)
	case err == nil:
		err = stamp.CheckSecret(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("spool %s: %w", path, files.Bare(err))
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("spool %s: %w", path, files.Bare(err))
	}
	return &spool{file: file, size: len(text), max: 2 * limit}, text, nil
}

// add adds a line. What is sent already is still in the file until the spool is empty: what does
// not fit for that is in memory alone.
func (s *spool) add(line []byte) error {
	if s.size+len(line)+1 > s.max {
		return nil
	}
	n, err := s.file.Write(append(line[:len(line):len(line)], '\n'))
	s.size += n
	return err
}

func (s *spool) empty() error {
	if s.size == 0 {
		return nil
	}
	err := s.file.Truncate(0)
	if err == nil {
		s.size = 0
	}
	return err
}

func (s *spool) close() error { return s.file.Close() }
