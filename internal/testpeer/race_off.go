//go:build !race

package testpeer

// Race reports whether this binary was built with the race detector.
const Race = false
