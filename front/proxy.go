package front

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	maxLine   = 107  // bytes of a header of version 1
	prefix    = 16   // bytes of one of version 2 before the addresses
	maxHeader = 4096 // bytes of one of version 2; the protocol allows more, nobody sends it
)

var (
	errIncomplete = errors.New("the header is not complete")
	errNoHeader   = errors.New("no header of the PROXY protocol")
)

// parseHeader reads the header of the PROXY protocol at the beginning of what a balancer has sent.
// It returns its size, and the client's address: invalid where the header has none, because the
// connection is the balancer's own.
func parseHeader(sent []byte) (size int, client netip.AddrPort, err error) {
	if size, err = headerSize(sent); err != nil {
		return 0, client, err
	}
	header, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(sent[:size])))
	if err != nil {
		return 0, client, err
	}
	if header.Command.IsLocal() || header.TransportProtocol == proxyproto.UNSPEC {
		return size, client, nil
	}
	source, _, ok := header.TCPAddrs()
	if !ok {
		return 0, client, errNoHeader // of UDP, or a Unix socket
	}
	client = source.AddrPort()
	client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
	if !client.IsValid() {
		return 0, client, errNoHeader
	}
	return size, client, nil
}

// headerSize is how long the header is.
func headerSize(sent []byte) (int, error) {
	switch {
	case begins(sent, proxyproto.SIGV1):
		end := bytes.Index(sent[:min(len(sent), maxLine)], []byte("\r\n"))
		switch {
		case end >= 0:
			return end + 2, nil
		case len(sent) >= maxLine:
			return 0, errNoHeader
		}
		return 0, errIncomplete
	case begins(sent, proxyproto.SIGV2):
		if len(sent) < prefix {
			return 0, errIncomplete
		}
		size := prefix + int(binary.BigEndian.Uint16(sent[prefix-2:]))
		switch {
		case size > maxHeader:
			return 0, errNoHeader
		case len(sent) < size:
			return 0, errIncomplete
		}
		return size, nil
	}
	return 0, errNoHeader
}

// begins tells whether what was sent has a signature at its beginning, as far as it goes.
func begins(sent, signature []byte) bool {
	n := min(len(sent), len(signature))
	return bytes.Equal(sent[:n], signature[:n])
}
