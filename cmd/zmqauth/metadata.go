package main

import (
	"strconv"
	"strings"
	"time"
)

// parseMetadata reads NAME=VALUE items.
func parseMetadata(items []string) (map[string]string, error) {
	metadata := make(map[string]string)
	for _, item := range items {
		name, value, ok := strings.Cut(item, "=")
		if !ok || name == "" {
			return nil, usagef("--meta %q: NAME=VALUE", item)
		}
		if _, ok := metadata[name]; ok {
			return nil, usagef("--meta: %s twice", name)
		}
		metadata[name] = value
	}
	return metadata, nil
}

// parseUntil reads a time in the future. It returns the time in the form of certificates.
func parseUntil(text string, now time.Time) (string, error) {
	const maxDays = 100 * 366
	until, err := time.Parse(time.RFC3339, text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, err := strconv.Atoi(days)
		if err != nil || number > maxDays || number < -maxDays {
			return "", usagef("--not-after %q: a whole number of days, at most %d", text, maxDays)
		}
		until = now.AddDate(0, 0, number)
	} else if err != nil {
		span, err := time.ParseDuration(text)
		if err != nil {
			return "", usagef("--not-after %q: "+
				"neither days (90d), hours (12h) nor a time (2027-01-31T00:00:00Z)", text)
		}
		until = now.Add(span)
	}
	if !until.After(now) {
		return "", usagef("--not-after %q: that is over already", text)
	}
	return until.UTC().Format(time.RFC3339), nil
}
