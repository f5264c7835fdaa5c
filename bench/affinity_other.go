//go:build !linux

package main

import "fmt"

func processors() ([]int, error) {
	return nil, fmt.Errorf("processors: %w: Linux", errMissing)
}

func confine(int, []int) error { return fmt.Errorf("processors: %w: Linux", errMissing) }
