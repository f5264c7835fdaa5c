package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/daemon"
	"github.com/zmqauth/zmqauth/sshtunnel"
)

// measureSSH compares package sshtunnel with ssh -L through the same sshd. ssh runs twice: with its
// default cipher and with the one of sshtunnel.
func measureSSH() (_ []table, err error) {
	var e ends
	defer func() { err = errors.Join(err, e.close()) }()
	back, err := e.backend()
	if err != nil {
		return nil, err
	}
	paths, err := e.openSSH(back.address)
	if err != nil {
		return nil, err
	}
	empty := table{name: "ssh-throughput", title: "Bulk data through an SSH tunnel"}
	bulk, err := throughput(empty, back, paths)
	return []table{bulk}, err
}

// openSSH returns the paths to an address. The first is sshtunnel's.
func (e *ends) openSSH(address string) ([]path, error) {
	directory, err := e.directory()
	if err != nil {
		return nil, err
	}
	pam := filepath.Join(directory, "pam.so")
	if err := daemon.CompilePAM(pam); err != nil {
		return nil, err
	}
	server, err := daemon.StartSSHD(directory, pam)
	if err != nil {
		return nil, err
	}
	e.add(server.Stop)
	known := filepath.Join(directory, "known_hosts")
	if err := server.KnownHosts(known); err != nil {
		return nil, err
	}
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host:       "127.0.0.1",
		Port:       server.Port,
		User:       server.User,
		KeyFile:    server.UserKey(),
		KnownHosts: known,
		ConfigFile: "none",
		Agent:      "none",
		Logger:     slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	e.add(tunnel.Close)
	endpoint, err := tunnel.Forward("tcp://" + address)
	if err != nil {
		return nil, err
	}
	paths := []path{{"zmqauth", "unix", strings.TrimPrefix(endpoint, "ipc://")}}
	cipher := ssh.SupportedAlgorithms().Ciphers[0]
	ours, _, _ := strings.Cut(cipher, "@")
	for _, c := range []struct {
		title, socket string
		options       []string
	}{
		{"ssh -L", "default", nil},
		{"ssh -L, " + ours, "same", []string{"-c", cipher}},
	} {
		socket := filepath.Join(directory, c.socket)
		client, err := server.Forward(socket, address, c.options...)
		if err != nil {
			return nil, err
		}
		e.add(client.Stop)
		paths = append(paths, path{c.title, "unix", socket})
	}
	return paths, nil
}
