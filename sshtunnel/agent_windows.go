package sshtunnel

import (
	"context"
	"errors"
	"net"
)

// dialAgent fails: agents listen on named pipes here, which package net does not know.
func dialAgent(context.Context, string) (net.Conn, error) {
	return nil, errors.New("agents are not supported on Windows; name a key file in Config.KeyFile")
}
