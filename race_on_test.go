//go:build race

package zmqauth

// timingSlack is what timings may take beside what is wanted: the race detector keeps a shadow of the memory, whose
// cost grows with what a test touches.
const timingSlack = 10.0
