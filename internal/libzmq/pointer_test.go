package libzmq

import (
	"errors"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestSocketPointer fails when zmq4 renames the field that socketPointer reads.
func TestSocketPointer(t *testing.T) {
	s, err := testzmq.NewContext(t).NewSocket(zmq4.ROUTER)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := socketPointer(s); err != nil {
		t.Error(err)
	}
	if err := EnforceDomain(s); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*zmq4.Socket{"closed": s, "nil": nil} {
		if _, err := socketPointer(s); !errors.Is(err, zmq4.ErrorSocketClosed) {
			t.Errorf("%s socket: %v", name, err)
		}
	}
}
