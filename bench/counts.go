package main
func measureCounts() ([]table, error) { return nil, nil }
