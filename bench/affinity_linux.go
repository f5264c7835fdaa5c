package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// processors returns the numbers of the processors that this process may use.
func processors() (numbers []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("processors: %w", err)
	}
	for i := 0; len(numbers) < set.Count(); i++ {
		if set.IsSet(i) {
			numbers = append(numbers, i)
		}
	}
	return numbers, nil
}

// confine lets all threads of a process use these processors alone. New threads take after those
// that start them.
func confine(pid int, processors []int) error {
	var set unix.CPUSet
	for _, number := range processors {
		set.Set(number)
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err != nil {
			return err
		}
		err = unix.SchedSetaffinity(id, &set)
		if err != nil && !errors.Is(err, unix.ESRCH) { // the thread may have ended
			return fmt.Errorf("processors of thread %d: %w", id, err)
		}
	}
	return nil
}
