// Package admission says who of many clients is served next. Its queue is fair by client: one that
// asks for a lot waits for itself, and not the others for it. Clients that are refused time and
// again wait longer and longer.
package admission

import "container/list"

// Queue is a queue of what clients wait for. Clients take turns; what one client has waiting is in
// the order in which it came. All methods take the same time however much is waiting. The zero
// value is empty. It is for one goroutine at a time.
type Queue[T any] struct {
	clients map[Client]*client[T]
	turns   list.List    // of *client, the one whose turn is next in front
	bySize  []*list.List // of *client, by how much each has waiting, less one
	size    int
}

// client is one that has something waiting.
type client[T any] struct {
	id      Client
	waiting list.List     // of *Item, the oldest in front
	turn    *list.Element // in Queue.turns
	rank    *list.Element // in Queue.bySize
}

// Item is something that waits in a Queue.
type Item[T any] struct {
	Value T

	client  *client[T]
	element *list.Element // nil: it waits no longer
}

// Len is how much is waiting.
func (q *Queue[T]) Len() int { return q.size }

// Waiting is how much of a client's is waiting.
func (q *Queue[T]) Waiting(id Client) int {
	if c := q.clients[id]; c != nil {
		return c.waiting.Len()
	}
	return 0
}

// Ahead is how much is served before the next thing that a client adds, at most.
func (q *Queue[T]) Ahead(id Client) int {
	return min(q.size, (q.Waiting(id)+1)*len(q.clients)+q.Waiting(id))
}

// Push adds something of a client's.
func (q *Queue[T]) Push(id Client, value T) *Item[T] {
	c := q.clients[id]
	if c == nil {
		c = &client[T]{id: id}
		if q.clients == nil {
			q.clients = make(map[Client]*client[T])
		}
		q.clients[id] = c
		c.turn = q.turns.PushBack(c)
	}
	item := &Item[T]{Value: value, client: c}
	item.element = c.waiting.PushBack(item)
	q.size++
	q.resized(c, c.waiting.Len()-1)
	return item
}

// Pop takes the oldest of the client whose turn it is; false: nothing is waiting.
func (q *Queue[T]) Pop() (value T, ok bool) {
	front := q.turns.Front()
	if front == nil {
		return value, false
	}
	c := front.Value.(*client[T])
	item := c.waiting.Front().Value.(*Item[T])
	q.turns.MoveToBack(front)
	q.Remove(item)
	return item.Value, true
}

// Remove takes something out of the queue. It does nothing where that waits no longer.
func (q *Queue[T]) Remove(item *Item[T]) {
	if item.element == nil {
		return
	}
	c := item.client
	c.waiting.Remove(item.element)
	item.element = nil
	q.size--
	q.resized(c, c.waiting.Len()+1)
	if c.waiting.Len() > 0 {
		return
	}
	q.turns.Remove(c.turn)
	delete(q.clients, c.id)
	if len(q.clients) == 0 { // a map never shrinks
		q.clients, q.bySize = nil, nil
	}
}

// resized keeps a client in its place by how much it has waiting.
func (q *Queue[T]) resized(c *client[T], before int) {
	if before > 0 {
		q.bySize[before-1].Remove(c.rank)
	}
	if now := c.waiting.Len(); now > 0 {
		if now > len(q.bySize) {
			q.bySize = append(q.bySize, list.New())
		}
		c.rank = q.bySize[now-1].PushBack(c)
	}
	for len(q.bySize) > 0 && q.bySize[len(q.bySize)-1].Len() == 0 {
		q.bySize = q.bySize[:len(q.bySize)-1]
	}
}

// Youngest is what the client with the most waiting has added last, where it has at least two more
// than another client: that may have its place. nil: nobody has so many.
func (q *Queue[T]) Youngest(other Client) *Item[T] {
	if len(q.bySize) < q.Waiting(other)+2 {
		return nil
	}
	busiest := q.bySize[len(q.bySize)-1].Front().Value.(*client[T])
	return busiest.waiting.Back().Value.(*Item[T])
}
