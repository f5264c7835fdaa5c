// Package pause keeps long work from holding up the threads and goroutines that answer clients. Go
// lets a goroutine run for 10 ms before another one gets its processor, and the system a thread for
// some milliseconds. On one processor or two that is how long a client would wait.
package pause

import "runtime"

// often is how many steps are made between two pauses.
const often = 256

// Pauses counts the small steps of a goroutine's work. The zero value is ready.
type Pauses struct{ steps int }

// Step is called for each step, which takes a microsecond or less. Now and then it makes a pause.
func (p *Pauses) Step() {
	if p.steps++; p.steps%often == 0 {
		Now()
	}
}

// Now lets the others run that are ready to. It takes less than a microsecond where there are none.
func Now() {
	yield()
	runtime.Gosched()
}
