package links

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// portSpec says where a link listens, and who may connect to the file of a Unix socket.
type portSpec struct {
	at    policyfile.Address
	mode  fs.FileMode // 0: ownerOnly
	group string      // "": that of the process
}

// ownerOnly is the mode of a Unix socket's file unless the link says otherwise.
const ownerOnly fs.FileMode = 0o600

// access returns who may connect to the socket's file.
func (s portSpec) access() (a privatedir.Access, err error) {
	a.Mode = s.mode
	if a.Mode == 0 {
		a.Mode = ownerOnly
	}
	a.Group, err = lookupGroup(s.group)
	return a, err
}

// checkPath checks that no other file is where the socket's is to be.
func (s portSpec) checkPath() error {
	if !s.at.HasFile() {
		return nil
	}
	info, err := os.Lstat(s.at.Path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s: there is a file that is no socket; remove it, or choose another path",
			s.at.Path)
	}
	return nil
}

// port is a listener of a link. Close may be called again.
type port struct {
	net.Listener

	mu     sync.Mutex
	socket *privatedir.Socket // of a Unix socket's file, which Close removes; nil: none
	closed bool
}

// bindTime limits how long it takes to find out whether somebody listens at a path.
const bindTime = 5 * time.Second

// open listens. It replaces a Unix socket on which nobody listens any more.
func (s portSpec) open() (*port, error) {
	if !s.at.HasFile() {
		l, err := net.Listen(s.at.Network(), s.at.String())
		if err != nil {
			return nil, err
		}
		return &port{Listener: l}, nil
	}
	access, err := s.access()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), bindTime)
	defer cancel()
	file, socket, err := privatedir.ListenFile(ctx, s.at.Path, access)
	if err != nil {
		if fault := s.checkPath(); fault != nil {
			return nil, fault
		}
		return nil, fmt.Errorf("listen %s: %w", s.at.Path, files.Bare(err))
	}
	defer file.Close() // the listener has a descriptor of its own
	l, err := net.FileListener(file)
	if err != nil {
		return nil, errors.Join(err, socket.Remove())
	}
	return &port{Listener: l, socket: socket}, nil
}

// isInUse tells whether an address cannot be listened at because somebody else does.
func isInUse(err error) bool { return errors.Is(err, syscall.EADDRINUSE) }

// duplicate returns another listener of the same socket. Connections that wait to be accepted are
// those of both. The file of a Unix socket stays p's.
func (p *port) duplicate() (*port, error) {
	filer, ok := p.Listener.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("a listener without a descriptor")
	}
	file, err := filer.File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return &port{Listener: l}, nil
}

// giveFile makes the file of p's socket that of another port.
func (p *port) giveFile(to *port) {
	p.mu.Lock()
	socket := p.socket
	p.socket = nil
	p.mu.Unlock()
	to.mu.Lock()
	defer to.mu.Unlock()
	to.socket = socket
}

// Close stops listening, and removes the file of a Unix socket. It returns when the address is
// free.
func (p *port) Close() error {
	p.mu.Lock()
	socket := p.socket
	p.socket, p.closed = nil, true
	p.mu.Unlock()
	var err error
	if socket != nil {
		err = socket.Remove() // while it listens: afterwards the file may be somebody else's
	}
	return errors.Join(err, p.Listener.Close())
}

// isClosed tells whether Close has been called.
func (p *port) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}
