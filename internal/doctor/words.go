package doctor

// mechanismFlags are what to try with a server that has another mechanism.
var mechanismFlags = map[string]string{
	"NULL": "no credentials: the server asks for none, and its traffic is not encrypted; or this is " +
		"another server's port",
	"PLAIN":  "--username USER, and the password",
	"CURVE":  "--cert FILE (the client's secret certificate) and --server-key KEY (the server's)",
	"GSSAPI": "a Kerberos ticket (kinit) and --service SERVICE@HOST",
}

func isMechanism(name string) bool { return mechanismFlags[name] != "" }

// refusals are what to try after a refusal with a status.
var refusals = map[int]string{
	300: "again, later: the server could not decide",
	400: "ask who runs the server for its log's reason; with its policy, --config says which line " +
		"decides. A key has to be in the directory of the domain, a user in its password file, the " +
		"address must be allowed",
	500: "ask who runs the server: its log has the error",
}

const tryUnanswered = "again, with a longer --timeout: the server is slow, or asks for another " +
	"try (300), as one does that cannot reach what decides; or its authenticator does not run. Its " +
	"log has the reason"

// cutOff is what to try where a handshake is cut off although the mechanism and the key are right.
func cutOff(client Client) string {
	return "another --type: the server's socket may be of a type that does not go with " +
		client.Socket + "; or the server has no ZAP handler (its program must start the " +
		"authenticator)" + ticket(client)
}

func ticket(client Client) string {
	if client.Mechanism != "GSSAPI" {
		return ""
	}
	return "; or this client has no Kerberos ticket that it can read (klist)"
}

// What to try where nobody is reached.
const (
	tryName = "another name, or an address; the name may be wrong, or known on another network only " +
		"(VPN, container)"
	tryResolver = "again; the name server of this host does not answer (/etc/resolv.conf)"
	tryRefused  = "start the server, and compare the port with the one that it binds. A server that " +
		"binds 127.0.0.1 is reached from its own host alone, and one in a container through a " +
		"published port"
	tryTimeout = "look at firewalls, security groups and the address: packets to it vanish"
	tryHost    = "look whether that host is on, and at firewalls that reject: this host or a router " +
		"says that nobody is at the address (ip route get ADDRESS)"
	tryForbidden = "look at this host's firewall and routing rules (nft list ruleset, ip rule): one " +
		"of them forbids the connection"
	tryRoute = "look at this host's network and routes (ip route get ADDRESS)"
)

// What to try where somebody is reached.
const (
	tryAllAddresses = "have the server bind all its addresses, or take the others out of the name: " +
		"programs may try the first one only"
	tryIPv6 = "in programs: libzmq reaches IPv6 only with the option ZMQ_IPV6 (pyzmq: socket.ipv6 = " +
		"True), and without it waits for ever; zmqauth.Connect needs no option"
)

// What to try where a port does not speak ZeroMQ.
const (
	tryOther = "another port: this one belongs to another program"
	tryTLS   = "through TLS: zmqauth tls-connect --listen A --connect HOST:PORT, and then A; or " +
		"another port"
	trySSH     = "another port, or a tunnel through this one: zmqauth tunnel"
	trySilence = "look at the server: its program hangs, or is no ZeroMQ server; a TLS or SSH " +
		"tunnel may have nothing at its other end"
	tryClosed = "look at the server's log: its front refuses the address (deny, or not in allow), " +
		"is at a limit for it, or wants the PROXY protocol of a balancer; or the port belongs to " +
		"another program, or a tunnel has nothing at its other end"
	tryCutGreeting = "look at the server's log: it has accepted the connection and ended it in the " +
		"greeting"
	tryOld = "a server of libzmq 4 or later: older ones know no authentication"
)

// What to try with files.
const (
	tryMissing = "start the server, and compare the path with the one that it binds; a container " +
		"has other files than its host"
	tryNoSocket   = "another path: this file is no socket"
	tryPermission = "as a user who may write the socket and search its directories, or have the " +
		"server bind it with another mode or group"
	tryLeftover = "start the server: it has ended, and has left the file behind"
)
