package stream

import (
	"context"
	"net"
)

// Join is [Forward] to a backend that is connected already, over whatever transport. It copies all
// data between the two connections, closes both, and returns when both directions have ended.
func Join(ctx context.Context, client, backend net.Conn) error {
	return pipe(ctx, end{"the client", client}, end{"the backend", backend})
}
