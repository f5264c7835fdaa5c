package sshtunnel

import (
	"context"
	"errors"
	"net"
)

// dialAgent fails: agents on Windows listen on named pipes, which package net does not support.
func dialAgent(context.Context, string) (net.Conn, error) {
	return nil, errors.New("agents are not supported on Windows; name a key file in Config.KeyFile")
}
