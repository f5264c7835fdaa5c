package logs

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// journalWriter sends entries to the journal.
type journalWriter struct {
	fd int
	to *unix.SockaddrUnix
}

// JournalWriter makes a writer that sends what each Write gets to the journal's socket at path, as
// one entry. A large one goes in a sealed memory file. Write may wait for the journal. The error
// says that nobody listens there.
func JournalWriter(path string) (io.Writer, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	to := &unix.SockaddrUnix{Name: path}
	if err := unix.Connect(fd, to); err != nil { // and not kept: the journal may be restarted
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w: no journal listens there", path, err)
	}
	_ = unix.Close(fd)
	if fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, err
	}
	return &journalWriter{fd, to}, nil
}

// Write implements io.Writer.
func (j *journalWriter) Write(entry []byte) (int, error) {
	err := j.send(entry, nil)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		err = j.sendFile(entry)
	}
	if err != nil {
		return 0, err
	}
	return len(entry), nil
}

func (j *journalWriter) send(entry, rights []byte) error {
	for {
		err := unix.Sendmsg(j.fd, entry, rights, j.to, unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// sendFile sends an entry in a memory file that nobody can change any more.
func (j *journalWriter) sendFile(entry []byte) error {
	fd, err := unix.MemfdCreate("zmqauth-journal", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(fd), "zmqauth-journal")
	defer file.Close()
	if _, err := file.Write(entry); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	return j.send(nil, unix.UnixRights(fd))
}
