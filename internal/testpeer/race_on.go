//go:build race

package testpeer

// Race tells whether this binary was built with the race detector.
const Race = true
