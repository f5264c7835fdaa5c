//go:build linux

package front

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// interpret runs a program of a shed as the kernel does (bpf(4)). Jumps lead forwards, so that it
// ends.
func interpret(t *testing.T, program []unix.SockFilter, tcp, ip []byte) uint32 {
	t.Helper()
	var a uint32
	var memory [unix.BPF_MEMWORDS]uint32
	for at := 0; at < len(program); at++ {
		i := program[at]
		header, offset := tcp, i.K
		if i.K >= networkHeader {
			header, offset = ip, i.K-networkHeader
		}
		switch i.Code {
		case unix.BPF_LD | unix.BPF_B | unix.BPF_ABS:
			a = uint32(header[offset])
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.BigEndian.Uint32(header[offset:])
		case unix.BPF_ST:
			memory[i.K] = a
		case unix.BPF_LD | unix.BPF_MEM:
			a = memory[i.K]
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= i.K
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(i.K)
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			if a == i.K {
				at += int(i.Jt)
			} else {
				at += int(i.Jf)
			}
		case unix.BPF_RET | unix.BPF_K:
			return i.K
		default:
			t.Fatalf("instruction %d is %+v", at, i)
		}
	}
	t.Fatal("the program has no end")
	return 0
}

// packet is what a filter sees of a packet from an address: its TCP and its IP header.
func packet(from netip.Addr, flags byte) (tcp, ip []byte) {
	tcp = make([]byte, 20)
	tcp[flagsOffset] = flags
	if from.Is4() {
		ip = make([]byte, 20)
		ip[0] = 0x45
		copy(ip[12:], from.AsSlice())
		return tcp, ip
	}
	ip = make([]byte, 40)
	ip[0] = 0x6a
	copy(ip[8:], from.AsSlice())
	return tcp, ip
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

// TestShedFilter: what the program drops and passes.
func TestShedFilter(t *testing.T) {
	const syn, synECN, ack, synACK, rst, finACK = 0x02, 0xc2, 0x10, 0x12, 0x04, 0x11
	networks := prefixes("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/33", "::1/128", "fe80::/10")
	exempt := prefixes("10.1.0.0/16", "2001:db8:0:1::/64")
	for _, c := range []struct {
		from  string
		flags byte
		drops bool
	}{
		{"10.0.0.1", syn, true}, {"10.0.0.1", synECN, true}, {"10.255.255.255", syn, true},
		{"10.0.0.1", ack, false}, {"10.0.0.1", synACK, false}, {"10.0.0.1", rst, false},
		{"10.0.0.1", finACK, false}, {"10.0.0.1", 0, false}, {"10.0.0.1", syn | rst, false},
		{"11.0.0.0", syn, false}, {"9.255.255.255", syn, false}, {"10.1.2.3", syn, false},
		{"192.0.2.7", syn, true}, {"192.0.2.6", syn, false}, {"::1", syn, true},
		{"::1", ack, false}, {"::2", syn, false}, {"1::1", syn, false}, {"0:1::1", syn, false},
		{"0:0:1::1", syn, false}, {"::1:0:1", syn, false}, {"2001:db8::1", syn, true},
		{"2001:db8:7fff::1", syn, true}, {"2001:db8:8000::1", syn, false},
		{"2001:db8:0:1::9", syn, false}, {"2001:db8:0:2::9", syn, true},
		{"febf::1", syn, true}, {"fec0::1", syn, false}, {"::ffff:10.0.0.1", syn, false},
	} {
		tcp, ip := packet(netip.MustParseAddr(c.from), c.flags)
		drops := interpret(t, shedFilter(exempt, networks), tcp, ip) == dropPacket
		if drops != c.drops {
			t.Errorf("from %s with flags %#x: dropped: %v", c.from, c.flags, drops)
		}
	}
	for _, text := range []string{"0.0.0.0/0", "::/0"} {
		all := netip.MustParsePrefix(text)
		for _, from := range []string{"203.0.113.1", "2001:db8::1"} {
			tcp, ip := packet(netip.MustParseAddr(from), syn)
			drops := interpret(t, shedFilter(nil, []netip.Prefix{all}), tcp, ip) == dropPacket
			if drops != all.Contains(netip.MustParseAddr(from)) {
				t.Errorf("from %s with %s: dropped: %v", from, text, drops)
			}
		}
	}
}

// TestShedFilterAgainstPrefixes: the program says of random addresses what the networks say, also
// where there are as many as can be.
func TestShedFilterAgainstPrefixes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	dropped := 0
	for round := range 100 {
		count := maxNetworks
		if round > 0 {
			count = random.IntN(20)
		}
		networks, exempt := randomNetworks(random, count), randomNetworks(random, count/4)
		program := shedFilter(exempt, networks)
		if len(program) > unix.BPF_MAXINSNS {
			t.Fatalf("%d instructions", len(program))
		}
		for range 50 {
			from := randomAddress(random)
			want := contains(networks, from) && !contains(exempt, from)
			tcp, ip := packet(from, flagSYN)
			if drops := interpret(t, program, tcp, ip) == dropPacket; drops != want {
				t.Fatalf("from %v: dropped: %v; %v without %v", from, drops, networks, exempt)
			}
			if want {
				dropped++
			}
		}
	}
	if dropped < 500 {
		t.Errorf("%d are dropped", dropped)
	}
}

func randomNetworks(random *rand.Rand, count int) (all []netip.Prefix) {
	for range count {
		ip := randomAddress(random)
		network, err := ip.Prefix(random.IntN(ip.BitLen() + 1))
		if err == nil {
			all = append(all, network)
		}
	}
	return all
}

// randomAddress is one of few, so that there are hits.
func randomAddress(random *rand.Rand) netip.Addr {
	bytes := make([]byte, 4+12*random.IntN(2))
	for i := range bytes {
		bytes[i] = byte(random.IntN(2)) << (7 * random.IntN(2))
	}
	ip, _ := netip.AddrFromSlice(bytes)
	return ip
}

// TestShedFilterSize: the kernel takes the largest program, and where a socket's options have as
// little memory as before Linux 6.8.
func TestShedFilterSize(t *testing.T) {
	networks := make([]netip.Prefix, maxNetworks)
	for i := range networks {
		networks[i] = netip.PrefixFrom(netip.AddrFrom16([16]byte{15: byte(i)}), 127)
	}
	program := shedFilter(networks[:maxBalancers], networks)
	const instruction, head, oldest = 8, 256, 20 << 10 // bytes
	if size := len(program)*instruction + head; size > oldest {
		t.Errorf("%d bytes", size)
	}
	needFilters(t)
	fd, err := newTCP(unix.AF_INET6)
	must.OK(t, err)
	defer unix.Close(fd)
	must.OK(t, attachFilter(fd, program))
}

// needFilters skips a test on a kernel that lets this process put no filter on a socket.
func needFilters(t *testing.T) {
	t.Helper()
	fd, err := newTCP(unix.AF_INET)
	must.OK(t, err)
	defer unix.Close(fd)
	if err := attachFilter(fd, shedFilter(nil, nil)); errors.Is(err, unix.EPERM) {
		testpeer.Without(t, "filters", err)
		t.Skip("no filters here")
	}
}

// TestShedFilterOnConnection: a connection that has the filter, with its peer in it, works to its
// end. An accepted one has it from the listener.
func TestShedFilterOnConnection(t *testing.T) {
	needFilters(t)
	for _, host := range []string{"127.0.0.1", "::1"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		must.OK(t, err)
		defer listener.Close()
		client := dial(t, listener.Addr().String(), "")
		server, err := listener.Accept()
		must.OK(t, err)
		defer server.Close()
		program := shedFilter(nil, prefixes("0.0.0.0/0", "::/0"))
		for _, conn := range []net.Conn{client, server} {
			raw, err := conn.(*net.TCPConn).SyscallConn()
			must.OK(t, err)
			must.OK(t, raw.Control(func(fd uintptr) { err = attachFilter(int(fd), program) }))
			must.OK(t, err)
		}
		for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
			for range 100 {
				_, err := from.Write(make([]byte, 10_000))
				must.OK(t, err)
				_, err = io.ReadFull(to, make([]byte, 10_000))
				must.OK(t, err)
			}
		}
		must.OK(t, client.CloseWrite())
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%v", err)
		}
	}
}
