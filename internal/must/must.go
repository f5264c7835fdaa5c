// Package must ends a test whose preparation fails. Tests alone use it.
package must

import "testing"

// OK fails the test at once where there is an error.
func OK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
