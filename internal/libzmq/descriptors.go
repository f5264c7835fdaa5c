package libzmq

import "syscall"

// Half of the descriptors that libzmq takes, and some more. Where it gets too few for a context it
// ends the process (zmq_assert), instead of an error.
const (
	contextPipes = 8 // for a context with its first socket
	// attemptPipes are for a client: its socket, the two ends of its monitor, which take two
	// descriptors each where there is no eventfd(2), and its connection.
	attemptPipes = 4
)

// CheckDescriptors tells whether a context can be made in which so many clients connect. The error
// is EMFILE or ENFILE: too few descriptors are left. Nobody keeps them: others may take them
// meanwhile.
func CheckDescriptors(clients int) error {
	var taken []int
	defer func() {
		for _, fd := range taken {
			_ = syscall.Close(fd)
		}
	}()
	for range contextPipes + clients*attemptPipes {
		var pipe [2]int // of its own, as any descriptor that exists may be closed meanwhile
		syscall.ForkLock.RLock()
		err := syscall.Pipe(pipe[:])
		if err == nil {
			syscall.CloseOnExec(pipe[0])
			syscall.CloseOnExec(pipe[1])
		}
		syscall.ForkLock.RUnlock()
		if err != nil {
			return err
		}
		taken = append(taken, pipe[0], pipe[1])
	}
	return nil
}
