package executor

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/admission"
)

// newExecutor runs one task at a time. "overloaded" and "interrupted" are its results.
func newExecutor(maxWaiting int, waitLimit, timeout time.Duration) *Executor[string] {
	return New(Config[string]{AtOnce: 1, MaxWaiting: maxWaiting, WaitLimit: waitLimit,
		Timeout: timeout, Overloaded: "overloaded",
		Interrupted: func(context.Context) string { return "interrupted" }})
}

// task is a task of a client, whose result goes to a channel.
func task(client int, results chan string, run func(context.Context) string) *Task[string] {
	return &Task[string]{Client: admission.Client(client), Run: run,
		Lost: func() string { return "lost" }, Done: func(result string) { results <- result }}
}

// TestHopelessIsToldAtOnce: a client whose turn would come too late is not kept waiting.
func TestHopelessIsToldAtOnce(t *testing.T) {
	e := newExecutor(1000, 10*time.Second, time.Minute)
	e.average, e.running = time.Second, 1
	told := make(chan string, 100)
	for range 30 {
		e.Submit(task(0, told, nil))
	}
	if n := len(told); n < 10 || n > 20 { // those beyond the tenth have 10 s before them
		t.Errorf("%d of 30 are told at once", n)
	}
	for range len(told) {
		if result := <-told; result != "overloaded" {
			t.Error(result)
		}
	}
	e.Submit(task(1, told, nil))
	if len(told) != 0 {
		t.Error("another client is hopeless, too")
	}
}

// TestFullQueueMakesRoom: where the queue is full, a client with little in it takes the place of
// the youngest of the one with the most.
func TestFullQueueMakesRoom(t *testing.T) {
	e := newExecutor(3, time.Minute, time.Minute)
	e.running = 1
	told := make(chan string, 10)
	submit := func(name string, client int) {
		one := task(client, nil, nil)
		one.Done = func(string) { told <- name }
		e.Submit(one)
	}
	for _, name := range []string{"a1", "a2", "a3"} {
		submit(name, 1)
	}
	submit("a4", 1)
	submit("b1", 2)
	submit("b2", 2)
	var got []string
	for range len(told) {
		got = append(got, <-told)
	}
	if want := []string{"a4", "a3", "b2"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v", got, want)
	}
}

// TestWaitLimit: a task that does not begin in time does not run any more.
func TestWaitLimit(t *testing.T) {
	e := newExecutor(10, 10*time.Millisecond, time.Hour)
	results, late := make(chan string, 1), make(chan string, 1)
	begun, free := make(chan bool), make(chan bool)
	e.Submit(task(0, results, func(context.Context) string {
		begun <- true
		<-free
		return "done"
	}))
	<-begun
	e.Submit(task(1, late, func(context.Context) string {
		t.Error("it runs")
		return "done"
	}))
	if result := <-late; result != "overloaded" {
		t.Errorf("%s: the one that waited", result)
	}
	free <- true
	if result := <-results; result != "done" {
		t.Errorf("%s: the one that ran", result)
	}
}

// TestOneResult: each end of a task gives it one result, and the place goes to the next task.
func TestOneResult(t *testing.T) {
	e := newExecutor(10, time.Hour, time.Hour)
	results := make(chan string, 10)
	canceled, cancel := context.WithCancel(t.Context())
	told := make(chan bool)
	for want, run := range map[string]func(context.Context) string{
		"done": func(context.Context) string { return "done" },
		"lost": func(context.Context) string { runtime.Goexit(); return "" },
		"interrupted": func(context.Context) string {
			cancel()
			<-told
			return "late"
		},
	} {
		one := task(0, results, run)
		if want == "interrupted" {
			one.Parent = canceled
		}
		e.Submit(one)
		if result := <-results; result != want {
			t.Errorf("%s, want %s", result, want)
		}
		if want == "interrupted" {
			close(told)
		}
		one.Settle("again")
	}
	if e.Pending() != 0 || len(e.Open()) != 0 || len(results) != 0 {
		t.Errorf("%d pending, %d results", e.Pending(), len(results))
	}
}

// TestSettleEndsTheContext: who settles a task from outside ends what runs for it.
func TestSettleEndsTheContext(t *testing.T) {
	e := newExecutor(10, time.Hour, time.Hour)
	results, ended := make(chan string, 1), make(chan bool)
	begun := make(chan bool)
	e.Submit(task(0, results, func(ctx context.Context) string {
		begun <- true
		<-ctx.Done()
		ended <- true
		return "late"
	}))
	<-begun
	for _, open := range e.Open() {
		open.Settle("refused")
	}
	<-ended
	if result := <-results; result != "refused" {
		t.Error(result)
	}
}
