package sshtunnel

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The functions of this file check the values of a keyword as ssh does, in all parts of a file. A
// value that ssh refuses makes it refuse the file, even in a part for another host.

// maxWords is how many files or domains one line may name, as in ssh.
const maxWords = 32

// anything accepts any values, of which there must be one.
func anything([]string) error { return nil }

func oneWord(words []string) error {
	if len(words) != 1 {
		return fmt.Errorf("one value is wanted, there are %d", len(words))
	}
	return nil
}

func twoWords(words []string) error {
	if len(words) != 2 {
		return fmt.Errorf("two values are wanted, there are %d", len(words))
	}
	return nil
}

func upTo(most int) func([]string) error {
	return func(words []string) error {
		if len(words) > most {
			return fmt.Errorf("at most %d values are wanted, there are %d", most, len(words))
		}
		return nil
	}
}

// oneOf accepts one of the given words, in any case.
func oneOf(known ...string) func([]string) error {
	return func(words []string) error {
		if err := oneWord(words); err != nil {
			return err
		}
		if !slices.Contains(known, strings.ToLower(words[0])) {
			return fmt.Errorf("%q is none of %s", words[0], strings.Join(known, ", "))
		}
		return nil
	}
}

// yesNo returns the words for yes and no, and others.
func yesNo(others ...string) []string {
	return append([]string{"yes", "true", "no", "false"}, others...)
}

func flag(words []string) error {
	if err := oneWord(words); err != nil {
		return err
	}
	if oneOf(yesNo()...)(words) != nil {
		return fmt.Errorf("%q is neither yes nor no", words[0])
	}
	return nil
}

func number(words []string) error {
	if err := oneWord(words); err != nil {
		return err
	}
	if _, err := strconv.ParseUint(words[0], 10, 31); err != nil {
		return fmt.Errorf("%q is not a number", words[0])
	}
	return nil
}

func seconds(words []string) error {
	if err := oneWord(words); err != nil || words[0] == "none" {
		return err
	}
	_, err := readSeconds(words[0])
	return err
}

func portNumber(words []string) error {
	if err := oneWord(words); err != nil {
		return err
	}
	_, err := parsePort(words[0])
	return err
}

// wordList accepts several words. "none" must stand alone.
func wordList(words []string) error {
	if len(words) > maxWords {
		return fmt.Errorf("more than %d values", maxWords)
	}
	for _, word := range words {
		if strings.EqualFold(word, "none") && len(words) > 1 {
			return errors.New("none must stand alone")
		}
	}
	return nil
}

// domains accepts names of domains.
func domains(words []string) error {
	if err := wordList(words); err != nil {
		return err
	}
	for _, word := range words {
		if strings.ContainsFunc(word, notInDomain) || strings.IndexByte("-._", word[0]) >= 0 ||
			strings.Contains(word, "..") {
			return fmt.Errorf("%q is not the name of a domain", word)
		}
	}
	return nil
}

func notInDomain(c rune) bool {
	return c >= unicode.MaxASCII || !unicode.IsLetter(c) && !unicode.IsDigit(c) &&
		!strings.ContainsRune(".-_", c)
}

// permittedCNAMEs accepts rules of the form domains:domains.
func permittedCNAMEs(words []string) error {
	if err := wordList(words); err != nil {
		return err
	}
	for _, word := range words {
		_, targets, ok := strings.Cut(word, ":")
		if (!ok || targets == "") && word != "*" && !strings.EqualFold(word, "none") {
			return fmt.Errorf("%q is not of the form domains:domains", word)
		}
	}
	return nil
}

func jumpList(words []string) error {
	if err := oneWord(words); err != nil || strings.EqualFold(words[0], "none") {
		return err
	}
	for _, host := range strings.Split(words[0], ",") {
		if _, err := parseHostSpec(host); err != nil {
			return inner{err}
		}
	}
	return nil
}

func environmentNames(words []string) error {
	for _, word := range words {
		if strings.Contains(word, "=") {
			return fmt.Errorf("%q is not the name of a variable", word)
		}
	}
	return nil
}

func environmentSettings(words []string) error {
	for _, word := range words {
		if !strings.Contains(word, "=") {
			return fmt.Errorf("%q is not of the form NAME=VALUE", word)
		}
	}
	return nil
}

// listOf accepts a list of algorithms, which ssh or x/crypto must know. A list of those to remove
// may have any patterns; wildcards tells whether others may, too.
func listOf(known func() []string, wildcards bool) func([]string) error {
	return func(words []string) error {
		if err := oneWord(words); err != nil {
			return err
		}
		operation, patterns := splitAlgorithms(words[0])
		if operation == '-' {
			return nil
		}
		all := known()
		for _, pattern := range patterns {
			matches := func(name string) bool { return matchPattern(name, pattern) }
			if !slices.Contains(all, pattern) && !(wildcards && slices.ContainsFunc(all, matches)) {
				return fmt.Errorf("there is no algorithm %q", pattern)
			}
		}
		return nil
	}
}
