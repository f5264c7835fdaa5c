//go:build !race

package sshtunnel

// bigTransfer is how much is sent through a tunnel to see that memory stays flat.
const bigTransfer = 1 << 30
