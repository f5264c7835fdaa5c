package front

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// What a filter says about a packet: nothing of it is taken, or all.
const (
	dropPacket = 0
	passPacket = 0xffffffff
)

// Where a filter of a TCP socket finds what it looks at. Offsets are from the TCP header, those
// behind networkHeader from the IP header.
const (
	flagsOffset   = 13
	networkHeader = 0xfff00000 // SKF_NET_OFF
	sourceOffset4 = networkHeader + 12
	sourceOffset6 = networkHeader + 8
)

// The flags that tell the first packet of a connection from all others.
const (
	flagSYN    = 0x02
	flagsOther = 0x01 | 0x04 | 0x10 // FIN, RST, ACK
)

// shedFilter is a classic BPF program for a listening TCP socket (socket(7), SO_ATTACH_FILTER). It
// drops the first packet of a connection whose source is in a network, unless the source is exempt.
// It passes all other packets: an accepted connection has the filter of its listener.
func shedFilter(exempt, networks []netip.Prefix) []unix.SockFilter {
	ip4, ip6 := sourceFilter(exempt, networks, true), sourceFilter(exempt, networks, false)
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: flagsOffset},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: flagSYN | flagsOther},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: flagSYN, Jt: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: passPacket},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: networkHeader},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0xf0},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0x40, Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(ip4))},
	}
	return append(append(program, ip4...), ip6...)
}

// sourceFilter judges packets of one family by their source.
func sourceFilter(exempt, networks []netip.Prefix, is4 bool) []unix.SockFilter {
	words, offset := 4, uint32(sourceOffset6)
	if is4 {
		words, offset = 1, sourceOffset4
	}
	var program []unix.SockFilter
	for i := range uint32(words) {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset + 4*i},
			unix.SockFilter{Code: unix.BPF_ST, K: i})
	}
	for _, rule := range []struct {
		networks []netip.Prefix
		verdict  uint32
	}{{exempt, passPacket}, {networks, dropPacket}} {
		for _, network := range rule.networks {
			if network.Addr().Is4() == is4 {
				program = append(program, networkFilter(network, rule.verdict)...)
			}
		}
	}
	return append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: passPacket})
}

// networkFilter returns the verdict about a source that is in a network. The source is in the
// scratch memory.
func networkFilter(network netip.Prefix, verdict uint32) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: verdict}}
	source, left := network.Masked().Addr().AsSlice(), network.Bits()
	for i := (left - 1) / 32; i >= 0 && left > 0; i-- { // the last word first: each is put before
		bits := min(left-32*i, 32)
		left = 32 * i
		word := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_MEM, K: uint32(i)}}
		if bits < 32 {
			word = append(word, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K,
				K: ^uint32(0) << (32 - bits)})
		}
		word = append(word, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			K: binary.BigEndian.Uint32(source[4*i:]), Jf: uint8(len(program))})
		program = append(word, program...)
	}
	return program
}

func attachFilter(fd int, program []unix.SockFilter) error {
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", unix.SetsockoptSockFprog(fd,
		unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}))
}
