// Package fastcurve makes CURVE handshakes cheaper.
package fastcurve

// Active tells
func Active() bool { return active() }
