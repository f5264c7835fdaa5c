//go:build !linux || !cgo

package fastcurve

func active() bool { return false }
