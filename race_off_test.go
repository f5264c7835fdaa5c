//go:build !race

package zmqauth

// timingSlack is what timings may take beside what is wanted.
const timingSlack = 1.0
