// Ssh-tunnel: a ZeroMQ client talks to a server that it can reach only through an SSH server. The
// SSH server is part of this program, so that the example runs anywhere. For a real one, give
// sshtunnel.Open the name that you give to ssh.
package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/sshtunnel"
)

const patience = 30 * time.Second // how long any step may take

func main() {
	log.SetPrefix("ssh-tunnel: ")
	slog.SetLogLoggerLevel(slog.LevelError) // the example loses a connection on purpose
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "ssh-tunnel")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gateway, err := startGateway(dir)
	if err != nil {
		return err
	}
	defer gateway.stop()
	endpoint, err := startServer()
	if err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg := sshtunnel.Config{
		Host:       "ann@" + gateway.address,
		KeyFile:    filepath.Join(dir, "key"),
		KnownHosts: filepath.Join(dir, "known_hosts"),
		ConfigFile: "none",
	}
	_, err = sshtunnel.Open(ctx, cfg)
	var stranger *sshtunnel.HostKeyError
	if !errors.As(err, &stranger) {
		return fmt.Errorf("want an unknown host, got %w", err)
	}
	fmt.Println("first contact:", stranger.Err)

	// Record a host key only after comparing stranger.Fingerprint with the one that the owner of the
	// gateway has told you.
	if err := os.WriteFile(cfg.KnownHosts, []byte(stranger.Entry+"\n"), 0o600); err != nil {
		return err
	}
	tunnel, err := sshtunnel.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer tunnel.Close()

	socket, err := zmq4.NewSocket(zmq4.REQ)
	if err != nil {
		return err
	}
	defer socket.Close()
	err = errors.Join(
		socket.SetReqRelaxed(1), // allows a new request when a lost connection took the reply with it
		socket.SetReqCorrelate(1),
		socket.SetRcvtimeo(time.Second),
		socket.SetLinger(0),
		tunnel.Connect(socket, endpoint), // instead of socket.Connect
	)
	if err != nil {
		return err
	}
	answer, err := ask(ctx, socket, "good morning")
	if err != nil {
		return err
	}
	fmt.Println("through the tunnel:", answer)

	gateway.dropConnections()
	for tunnel.Err() == nil && ctx.Err() == nil { // until the tunnel notices the loss
		time.Sleep(time.Millisecond)
	}
	if answer, err = ask(ctx, socket, "good evening"); err != nil {
		return err
	}
	fmt.Println("after the connection was lost:", answer)
	return nil
}

// startServer starts a ZeroMQ server that knows nothing of SSH.
func startServer() (endpoint string, err error) {
	socket, err := zmq4.NewSocket(zmq4.REP)
	if err != nil {
		return "", err
	}
	if err := socket.Bind("tcp://127.0.0.1:*"); err != nil {
		return "", err
	}
	if endpoint, err = socket.GetLastEndpoint(); err != nil {
		return "", err
	}
	go func() {
		for {
			if text, err := socket.Recv(0); err == nil {
				_, _ = socket.Send(text+" to you", 0)
			}
		}
	}()
	return endpoint, nil
}

// ask repeats the question until there is an answer.
func ask(ctx context.Context, socket *zmq4.Socket, question string) (string, error) {
	for ctx.Err() == nil {
		if _, err := socket.Send(question, 0); err != nil {
			return "", err
		}
		if answer, err := socket.Recv(0); err == nil {
			return answer, nil
		}
	}
	return "", ctx.Err()
}

// gateway is a small SSH server. It accepts one user by his key and connects him to any address he
// asks for.
type gateway struct {
	address  string
	config   *ssh.ServerConfig
	listener net.Listener

	mu    sync.Mutex
	conns []net.Conn
}

// startGateway starts a gateway and writes the private key of its only user to dir.
func startGateway(dir string) (*gateway, error) {
	_, hostKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	_, userKey, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	host, err := ssh.NewSignerFromKey(hostKey)
	if err != nil {
		return nil, err
	}
	user, err := ssh.NewSignerFromKey(userKey)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(userKey, "ann")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "key"), pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	g := &gateway{config: &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
				return nil, nil
			}
			return nil, errors.New("a stranger's key")
		},
	}}
	g.config.AddHostKey(host)
	if g.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	g.address = g.listener.Addr().String()
	go g.serve()
	return g, nil
}

func (g *gateway) stop() {
	_ = g.listener.Close()
	g.dropConnections()
}

func (g *gateway) dropConnections() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	g.conns = nil
}

func (g *gateway) serve() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.conns = append(g.conns, conn)
		g.mu.Unlock()
		go g.welcome(conn)
	}
}

func (g *gateway) welcome(conn net.Conn) {
	defer conn.Close()
	server, channels, requests, err := ssh.NewServerConn(conn, g.config)
	if err != nil {
		return
	}
	defer server.Close()
	go ssh.DiscardRequests(requests)
	for channel := range channels {
		go forward(channel)
	}
}

// forward accepts a channel and connects it to the address that it asks for (RFC 4254, section
// 7.2).
func forward(offer ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		Originator string
		From       uint32
	}
	if offer.ChannelType() != "direct-tcpip" || ssh.Unmarshal(offer.ExtraData(), &to) != nil {
		_ = offer.Reject(ssh.UnknownChannelType, "only direct-tcpip")
		return
	}
	back, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = offer.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer back.Close()
	channel, requests, err := offer.Accept()
	if err != nil {
		return
	}
	defer channel.Close()
	go ssh.DiscardRequests(requests)
	go func() {
		_, _ = io.Copy(back, channel)
		_ = back.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(channel, back)
}
