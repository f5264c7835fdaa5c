package main

import (
	"context"
	"errors"

	"github.com/zmqauth/zmqauth/admin"
)

// proxyHealth is what a proxy says of itself at its control socket.
type proxyHealth struct {
	Control string       `json:"control"`
	Healthy bool         `json:"healthy"`
	Error   string       `json:"error,omitempty"`
	Warning string       `json:"warning,omitempty"` // what will make it unhealthy
	Fleet   *admin.Fleet `json:"fleet,omitempty"`
}

// askProxy asks a proxy whether it is ready. The error says why it is not.
func askProxy(ctx context.Context, control string) (h *proxyHealth, err error) {
	h = &proxyHealth{Control: control}
	s, err := admin.NewClient(control).Status(ctx)
	problem := ""
	if h.Fleet = s.Fleet; h.Fleet != nil {
		problem = h.Fleet.Problem
	}
	switch {
	case err != nil:
	case !s.Ready && problem != "":
		err = errors.New("the proxy is not ready: " + problem)
	case !s.Ready:
		err = errors.New("the proxy is not ready: " + s.Why)
	default:
		h.Healthy, h.Warning = true, problem
		return h, nil
	}
	h.Error = err.Error()
	return h, err
}
