//go:build !linux

package admin

import "net/netip"

// ownerOf is for Linux alone.
func ownerOf(_, _ netip.AddrPort) (uid int, ok bool) { return 0, false }
