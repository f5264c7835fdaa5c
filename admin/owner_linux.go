package admin

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ownerOf asks the kernel which user has the socket at the other end of a TCP connection on this
// host (sock_diag(7)). It returns false where the kernel does not know, also because that end is
// closed already.
func ownerOf(local, remote netip.AddrPort) (uid int, ok bool) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return 0, false
	}
	defer func() { _ = unix.Close(fd) }()
	timeout := unix.Timeval{Sec: 1} // the kernel answers at once
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return 0, false
	}
	// Seen from the other end.
	if err := unix.Sendto(fd, diagRequest(remote, local), 0, &unix.SockaddrNetlink{
		Family: unix.AF_NETLINK}); err != nil {
		return 0, false
	}
	var answer [4096]byte
	n, from, err := unix.Recvfrom(fd, answer[:], 0)
	if err != nil {
		return 0, false
	}
	if kernel, is := from.(*unix.SockaddrNetlink); !is || kernel.Pid != 0 {
		return 0, false
	}
	return diagOwner(answer[:n])
}

// The parts of a request and an answer (linux/netlink.h, linux/inet_diag.h).
const (
	sizeHeader  = unix.SizeofNlMsghdr
	sizeRequest = 8 + sizeID // struct inet_diag_req_v2
	sizeID      = 48         // struct inet_diag_sockid
	sizeAnswer  = 4 + sizeID + 20
	byFamily    = 20 // SOCK_DIAG_BY_FAMILY
	established = 1  // TCP_ESTABLISHED
	// overflow is the id of a user who has none in the namespace of this process.
	overflow = 65534
)

// diagRequest asks for the TCP socket with these ends.
func diagRequest(source, target netip.AddrPort) []byte {
	message := make([]byte, sizeHeader+sizeRequest)
	binary.NativeEndian.PutUint32(message, uint32(len(message)))
	binary.NativeEndian.PutUint16(message[4:], byFamily)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST)
	request := message[sizeHeader:]
	request[0], request[1] = unix.AF_INET6, unix.IPPROTO_TCP
	if source.Addr().Is4() {
		request[0] = unix.AF_INET
	}
	binary.NativeEndian.PutUint32(request[4:], 1<<established)
	id := request[8:]
	binary.BigEndian.PutUint16(id, source.Port())
	binary.BigEndian.PutUint16(id[2:], target.Port())
	copy(id[4:20], source.Addr().AsSlice())
	copy(id[20:36], target.Addr().AsSlice())
	for i := 40; i < sizeID; i++ { // no cookie
		id[i] = 0xff
	}
	return message
}

// diagOwner reads an answer. A socket without an inode belongs to nobody any more: its process has
// closed it, and the kernel would name root.
func diagOwner(answer []byte) (uid int, ok bool) {
	if len(answer) < sizeHeader+sizeAnswer ||
		binary.NativeEndian.Uint16(answer[4:]) != byFamily {
		return 0, false
	}
	message := answer[sizeHeader:]
	tail := message[4+sizeID:]
	owner, inode := binary.NativeEndian.Uint32(tail[12:]), binary.NativeEndian.Uint32(tail[16:])
	if message[1] != established || inode == 0 || owner == overflow {
		return 0, false
	}
	return int(owner), true
}
