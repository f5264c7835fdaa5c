//go:build race

package sshtunnel

// bigTransfer is less under the race detector, which makes the cryptography some ten times slower.
const bigTransfer = 64 << 20
