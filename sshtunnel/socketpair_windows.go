package sshtunnel

// socketPair is two ends of a connection within this process. Windows has no socketpair(2).
func socketPair() (here, there near, err error) { return loopbackPair() }
