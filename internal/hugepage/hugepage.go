// Package hugepage asks the system to keep large tables in large pages. Where a table is read in no order each look at it
// waits for the memory, and with small pages once more for the page's address, which is not at hand either.
package hugepage

// least is how many bytes are worth it: some of Linux's huge pages (2 MiB on most machines).
const least = 8 << 20
