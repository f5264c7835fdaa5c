package sshtunnel_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// exampleGateway is an SSH server in this process for the examples, with the files of its user.
type exampleGateway struct {
	dir       string
	sshConfig string
	listener  net.Listener
	config    *ssh.ServerConfig
	work      sync.WaitGroup
	mu        sync.Mutex
	conns     []net.Conn
}

// startGateway panics if it fails, because an example has no test to fail.
func startGateway() *exampleGateway {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	signer := func() (ed25519.PrivateKey, ssh.Signer) {
		_, key, err := ed25519.GenerateKey(nil)
		check(err)
		signer, err := ssh.NewSignerFromKey(key)
		check(err)
		return key, signer
	}
	_, host := signer()
	userKey, user := signer()
	g := &exampleGateway{config: &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(key.Marshal(), user.PublicKey().Marshal()) {
				return nil, errors.New("a stranger's key")
			}
			return nil, nil
		},
	}}
	g.config.AddHostKey(host)
	var err error
	g.dir, err = os.MkdirTemp("", "gateway")
	check(err)
	g.listener, err = net.Listen("tcp", "127.0.0.1:0")
	check(err)
	block, err := ssh.MarshalPrivateKey(userKey, "ann")
	check(err)
	address, port, err := net.SplitHostPort(g.listener.Addr().String())
	check(err)
	g.sshConfig = filepath.Join(g.dir, "config")
	for name, text := range map[string]string{
		"key":         string(pem.EncodeToMemory(block)),
		"known_hosts": knownhosts.Line([]string{g.listener.Addr().String()}, host.PublicKey()) + "\n",
		"config": fmt.Sprintf("Host gateway\n\tHostName %s\n\tPort %s\n\tUser ann\n"+
			"\tIdentityFile %s\n\tUserKnownHostsFile %s\n",
			address, port, filepath.Join(g.dir, "key"), filepath.Join(g.dir, "known_hosts")),
	} {
		check(os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600))
	}
	g.work.Go(g.serve)
	return g
}

func (g *exampleGateway) stop() {
	_ = g.listener.Close()
	g.mu.Lock()
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	g.mu.Unlock()
	g.work.Wait()
	_ = os.RemoveAll(g.dir)
}

func (g *exampleGateway) serve() {
	for {
		conn, err := g.listener.Accept()
		if err != nil {
			return
		}
		g.mu.Lock()
		g.conns = append(g.conns, conn)
		g.mu.Unlock()
		g.work.Go(func() {
			defer conn.Close()
			_, channels, requests, err := ssh.NewServerConn(conn, g.config)
			if err != nil {
				return
			}
			go ssh.DiscardRequests(requests)
			for offer := range channels {
				g.work.Go(func() { carry(offer) })
			}
		})
	}
}

// carry connects a channel to the address that it is for.
func carry(offer ssh.NewChannel) {
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
		_ = back.Close()
	}()
	_, _ = io.Copy(channel, back)
}
