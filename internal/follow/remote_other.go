//go:build !linux

package follow

// unwatchable returns why a watch of the directory would miss changes. On this system that is not
// known.
func unwatchable(string) error { return nil }
