package admission

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func pops(q *Queue[string]) (all []string) {
	for value, ok := q.Pop(); ok; value, ok = q.Pop() {
		all = append(all, value)
	}
	return all
}

// TestTurns: whoever has little waiting does not wait for those who have a lot.
func TestTurns(t *testing.T) {
	var q Queue[string]
	for _, value := range []string{"a1", "a2", "a3", "a4", "b1", "c1", "c2"} {
		q.Push(Client(value[0]), value)
	}
	if got := q.Ahead('d'); got != 3 {
		t.Errorf("%d ahead of a new client, want one of each", got)
	}
	if got := q.Ahead('a'); got != 7 {
		t.Errorf("%d ahead of one with 4 waiting, of %d in all", got, q.Len())
	}
	want := []string{"a1", "b1", "c1", "a2", "c2", "a3", "a4"}
	if got := pops(&q); !slices.Equal(got, want) || q.Len() != 0 {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestNewcomer comes after one of each, whoever has been served before.
func TestNewcomer(t *testing.T) {
	var q Queue[string]
	for _, value := range []string{"a1", "a2", "a3", "b1", "b2"} {
		q.Push(Client(value[0]), value)
	}
	first, _ := q.Pop()
	q.Push('c', "c1")
	want := []string{"a1", "b1", "a2", "c1", "b2", "a3"}
	if got := append([]string{first}, pops(&q)...); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestRemove(t *testing.T) {
	var q Queue[string]
	var items []*Item[string]
	for _, value := range []string{"a1", "a2", "b1", "a3"} {
		items = append(items, q.Push(Client(value[0]), value))
	}
	q.Remove(items[1])
	q.Remove(items[2])
	q.Remove(items[1]) // again
	if q.Waiting('a') != 2 || q.Waiting('b') != 0 || q.Len() != 2 {
		t.Errorf("waiting: %d of a, %d of b, %d", q.Waiting('a'), q.Waiting('b'), q.Len())
	}
	if got := pops(&q); !slices.Equal(got, []string{"a1", "a3"}) {
		t.Errorf("%q", got)
	}
	q.Remove(items[0]) // it has been taken
}

// TestYoungest: a client that has two less than the busiest may have the place of its youngest.
func TestYoungest(t *testing.T) {
	var q Queue[string]
	for _, value := range []string{"a1", "a2", "a3", "b1", "b2"} {
		q.Push(Client(value[0]), value)
	}
	for id, want := range map[Client]string{'a': "", 'b': "", 'c': "a3"} {
		got := ""
		if item := q.Youngest(id); item != nil {
			got = item.Value
		}
		if got != want {
			t.Errorf("%c: %q, want %q", id, got, want)
		}
	}
	if (&Queue[string]{}).Youngest('a') != nil {
		t.Error("an empty queue has a youngest")
	}
}

// TestRandom compares with a model: each client's things in their order, and nothing lost.
func TestRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var q Queue[int]
	items := map[int]*Item[int]{}
	last := map[Client]int{}
	for n := range 20_000 {
		id := Client(random.IntN(7))
		switch random.IntN(3) {
		case 0, 1:
			items[n] = q.Push(id, n*10+int(id))
		default:
			if value, ok := q.Pop(); ok {
				from := Client(value % 10)
				if value < last[from] {
					t.Fatalf("%d after %d", value, last[from])
				}
				last[from] = value
				delete(items, value/10)
			}
			for n, item := range items {
				q.Remove(item)
				delete(items, n)
				break
			}
		}
		if q.Len() != len(items) {
			t.Fatalf("%d waiting, want %d", q.Len(), len(items))
		}
		if item := q.Youngest(99); item != nil {
			for id := range Client(7) {
				if q.Waiting(id) > q.Waiting(Client(item.Value%10)) {
					t.Fatalf("%d is busier than the busiest", id)
				}
			}
		}
	}
}

func TestClientOf(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8::1", "2001:db8::ffff:0:1", true},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"localhost:1000:100:1", "localhost:1000:7:2", true},
		{"localhost:1000:100:1", "localhost:1001:100:1", false},
		{"localhost", "localhost", true},
		{"nonsense", "nonsense", true},
		{"nonsense", "", false},
	} {
		if same := ClientOf(test.a) == ClientOf(test.b); same != test.same {
			t.Errorf("%s and %s: the same: %v", test.a, test.b, same)
		}
	}
}

func FuzzClientOf(f *testing.F) {
	for _, address := range []string{
		"192.0.2.1", "2001:db8::1%lo", "localhost:1:2:3", "localhost:", "",
	} {
		f.Add(address)
	}
	f.Fuzz(func(t *testing.T, address string) {
		if first := ClientOf(address); first != ClientOf(address) {
			t.Errorf("%q is two clients", address)
		}
	})
}
