package main
func measureSizes() ([]table, error) { return nil, nil }
