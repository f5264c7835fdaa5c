package policyfile

import (
	"fmt"
	"testing"
)

// TestEndpoints: two frontends must not bind the same endpoint, and no frontend may be its own
// backend.
func TestEndpoints(t *testing.T) {
	const file = "/etc/policy.zpl"
	parse := func(text string) error {
		_, err := Parse(file, []byte(text))
		return err
	}
	frontend := func(name, bind, backend string) string {
		return fmt.Sprintf("frontend = %s\n    type = router\n    bind = %s\n    backend = %s\n"+
			"    mechanism = null\n    domain = a\n", name, bind, backend)
	}
	const same, other = true, false
	t.Run("two frontends", func(t *testing.T) {
		for _, test := range []struct {
			first, second string
			want          bool
		}{
			{"tcp://127.0.0.1:1", "tcp://127.0.0.1:1", same},
			{"tcp://127.0.0.1:1", "tcp://127.0.0.1:01", same},
			{"tcp://127.0.0.1:1", "tcp://[::ffff:127.0.0.1]:1", same},
			{"tcp://127.0.0.1:1", "tcp://lo:1", same},
			{"tcp://*:1", "tcp://127.0.0.1:1", same},
			{"tcp://*:1", "tcp://eth0:1", same},
			{"tcp://*:1", "tcp://0.0.0.0:1", same},
			{"tcp://*:1", "tcp://[::]:1", same},
			{"tcp://[::]:1", "tcp://10.0.0.1:1", same},
			{"tcp://[::]:1", "tcp://[::1]:1", same},
			{"tcp://[fe80::1]:1", "tcp://[FE80:0::1]:1", same},
			{"tcp://eth0:1", "tcp://eth0:1", same},
			{"ipc:///run/a", "ipc:///run/./a", same},
			{"ipc://@a", "ipc://@a", same},
			{"tcp://127.0.0.1:1", "tcp://127.0.0.1:2", other},
			{"tcp://127.0.0.1:1", "tcp://127.0.0.2:1", other},
			{"tcp://*:1", "tcp://[::1]:1", other},
			{"tcp://eth0:1", "tcp://eth1:1", other},
			{"tcp://*:*", "tcp://*:*", other},
			{"tcp://*:0", "tcp://127.0.0.1:*", other},
			{"ipc:///run/a:*", "ipc:///run/b:*", other},
			{"ipc://@/run/a", "ipc:///run/a", other},
		} {
			for _, binds := range [][2]string{{test.first, test.second}, {test.second, test.first}} {
				err := parse(frontend("f", binds[0], "tcp://10.0.0.9:2") +
					frontend("g", binds[1], "tcp://10.0.0.9:2"))
				want := error(nil)
				if test.want == same {
					want = fmt.Errorf("%s:9: another frontend binds this endpoint, in line 3", file)
				}
				if fmt.Sprint(err) != fmt.Sprint(want) {
					t.Errorf("%s: %v", binds, err)
				}
			}
		}
	})
	t.Run("a frontend and its backend", func(t *testing.T) {
		for _, test := range []struct {
			bind, backend string
			want          bool
		}{
			{"tcp://127.0.0.1:1", "tcp://127.0.0.1:1", same},
			{"tcp://127.0.0.1:1", "tcp://localhost:1", same},
			{"tcp://127.0.0.1:1", "tcp://0.0.0.0:1", same},
			{"tcp://lo:1", "tcp://127.0.0.1:1", same},
			{"tcp://*:1", "tcp://127.0.0.1:1", same},
			{"tcp://*:1", "tcp://127.1.2.3:1", same},
			{"tcp://*:1", "tcp://LocalHost:1", same},
			{"tcp://*:1", "tcp://[::ffff:127.0.0.1]:1", same},
			{"tcp://[::]:1", "tcp://127.0.0.1:1", same},
			{"tcp://[::]:1", "tcp://[::1]:1", same},
			{"tcp://[::1]:1", "tcp://[::]:1", same},
			{"tcp://10.0.0.1:1", "tcp://10.0.0.1:1", same},
			{"ipc:///run/a", "ipc:///run//a", same},
			{"ipc://@a", "ipc://@a", same},
			{"tcp://*:1", "tcp://127.0.0.1:2", other},
			{"tcp://*:1", "tcp://10.0.0.1:1", other},
			{"tcp://*:1", "tcp://orders:1", other},
			{"tcp://*:1", "tcp://[::1]:1", other},
			{"tcp://127.0.0.2:1", "tcp://127.0.0.1:1", other},
			{"tcp://[::1]:1", "tcp://localhost:1", other},
			{"tcp://10.0.0.1:1", "tcp://localhost:1", other},
			{"tcp://eth0:1", "tcp://eth0:1", other}, // an interface, and a host
			{"tcp://*:*", "tcp://127.0.0.1:1", other},
			{"ipc:///run/a", "ipc:///run/b", other},
		} {
			err := parse(frontend("f", test.bind, test.backend))
			want := error(nil)
			if test.want == same {
				want = fmt.Errorf("%s:4: the frontend itself binds this endpoint, in line 3: "+
					"it would be its own service", file)
			}
			if fmt.Sprint(err) != fmt.Sprint(want) {
				t.Errorf("%s before %s: %v", test.bind, test.backend, err)
			}
		}
	})
}
