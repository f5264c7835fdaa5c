// Package browser has the tests of the status page in a real browser, which "make browser" runs.
// They are apart because Debian's chromium takes 400 MB.
package browser
