package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/fleetfile"
)

// The limits of an engine. A fleet has a connection for each server, and for each command that an
// administrator runs.
const (
	maxConnections   = 10_000
	maxSubscriptions = 32       // of one connection
	maxPayload       = 1 << 20  // bytes; an entry has at most half of it
	maxPending       = 16 << 20 // bytes that a connection has not read
	maxControlLine   = 4096     // bytes
	authTime         = 5        // seconds for TLS, and for a member to prove who it is
	maxMemory        = 64 << 20 // bytes of JetStream
	maxStore         = 16 << 30 // the same on disk
	maxWaiting       = 256      // messages of a stream that are not on disk yet, see options
	maxWaitingBytes  = 8 << 20  // of those
	pingInterval     = 10 * time.Second
	maxPings         = 2 // without an answer: the connection has ended
	writeTime        = 5 * time.Second
)

// options are those of the server, with the list of members as it is now.
func (e *engine) options() (*server.Options, error) {
	stamp, err := files.StampOf(e.file.Members)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.file.Members, files.Bare(err))
	}
	e.read = stamp
	members, err := fleetfile.ReadMembers(e.file.Members)
	if err == nil {
		err = e.file.Check(members)
	}
	if err != nil {
		return nil, err
	}
	e.bucket = members.Bucket
	o := new(server.Options)
	if err := o.ProcessConfigString(members.Accounts(false)); err != nil {
		return nil, fmt.Errorf("%s: %w", e.file.Members, err)
	}
	o.ServerName, o.NoSigs = e.file.Name, true
	if o.Host, o.Port, err = hostAndPort(e.file.Listen); err != nil {
		return nil, err
	}
	o.JetStream, o.StoreDir, o.SyncAlways = true, e.file.Store, true
	o.JetStreamMaxMemory, o.JetStreamMaxStore = maxMemory, maxStore
	// What is beyond that is refused at once. By default 100,000 messages wait, and one server that
	// sends without an end has everybody else wait for minutes. Each waits for the answer to one.
	o.StreamMaxBufferedMsgs, o.StreamMaxBufferedSize = maxWaiting, maxWaitingBytes
	o.DisableJetStreamBanner = true
	o.MaxConn, o.MaxSubs, o.MaxPayload = maxConnections, maxSubscriptions, maxPayload
	o.MaxPending, o.MaxControlLine, o.WriteDeadline = maxPending, maxControlLine, writeTime
	o.AuthTimeout, o.TLSTimeout = authTime, authTime
	o.PingInterval, o.MaxPingsOut = pingInterval, maxPings
	return o, e.secure(o)
}

// secure sets up TLS, and the cluster.
func (e *engine) secure(o *server.Options) error {
	certificate, err := e.file.Certificate()
	if err != nil {
		return err
	}
	o.TLS, o.TLSConfig = true, &tls.Config{MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate}}
	if len(e.file.Peers) == 0 {
		return nil
	}
	peers := x509.NewCertPool()
	peers.AddCert(e.file.CA)
	o.Cluster.Name, o.Cluster.NoAdvertise = e.file.Fleet, true
	if o.Cluster.Host, o.Cluster.Port, err = hostAndPort(e.file.ClusterListen); err != nil {
		return err
	}
	o.Cluster.Advertise = advertised(certificate.Leaf, o.Cluster.Port)
	o.Cluster.TLSTimeout, o.Cluster.AuthTimeout = authTime, authTime
	o.Cluster.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13,
		Certificates: []tls.Certificate{certificate}, RootCAs: peers, ClientCAs: peers,
		ClientAuth: tls.RequireAndVerifyClientCert}
	for _, peer := range e.file.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "tls", Host: peer})
	}
	return nil
}

// advertised is the address of this engine as the others have it in their files. Otherwise NATS
// tells them the IP address that it sees. Where the files have names, no certificate is valid for
// that, and the engines try it again without an end.
func advertised(certificate *x509.Certificate, port int) string {
	if port == server.RANDOM_PORT {
		return ""
	}
	hosts := certificate.DNSNames
	for _, ip := range certificate.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	if len(hosts) == 0 {
		return ""
	}
	return net.JoinHostPort(hosts[0], strconv.Itoa(port))
}

// hostAndPort takes a checked address apart. The host * is all addresses.
func hostAndPort(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(text); err != nil {
		return "", 0, err
	}
	if host == "*" {
		host = "::"
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}
