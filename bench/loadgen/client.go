package loadgen

/*
#include <stdlib.h>
#include "zap.h"
*/
import "C"

import "unsafe"

// Client is a client that connects to an endpoint of Serve, or to one of Traffic. Without a user
// name and keys it uses the NULL mechanism.
type Client struct {
	Endpoint                        string
	Username, Password              string
	ServerKey, PublicKey, SecretKey string // Z85

	// Apart has each connection of Handshakes come from a loopback address of its own. Endpoint is one
	// of TCP on loopback then.
	Apart bool
}

// c returns the client for C, and a function that frees its strings.
func (client *Client) c() (_ C.loadgen_client, free func()) {
	s, free := cStrings(client.Endpoint, client.Username, client.Password,
		client.ServerKey, client.PublicKey, client.SecretKey)
	var apart C.int
	if client.Apart {
		apart = 1
	}
	return C.loadgen_client{
		apart:    apart,
		endpoint: s[0],
		username: s[1], password: s[2],
		server_key: s[3], public_key: s[4], secret_key: s[5],
	}, free
}

// cStrings returns copies for C, with nil for the empty string, and a function that frees them.
func cStrings(texts ...string) (all []*C.char, free func()) {
	for _, text := range texts {
		var c *C.char
		if text != "" {
			c = C.CString(text)
		}
		all = append(all, c)
	}
	return all, func() {
		for _, c := range all {
			C.free(unsafe.Pointer(c))
		}
	}
}
