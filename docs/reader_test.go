package docs

import "testing"

// reader takes the blocks of a page one after another, so that none of them is left out. Fragments
// of Go are passed over: TestFragments compiles all that there are.
type reader struct {
	t    *testing.T
	page *page
	next int
}

// take is the next block, which must be of that kind.
func (r *reader) take(info string) block {
	r.t.Helper()
	for r.next < len(r.page.blocks) && r.page.blocks[r.next].isFragment() {
		r.next++
	}
	if r.next == len(r.page.blocks) {
		r.t.Fatalf("%s: no further block, want one of %s", r.page.path, info)
	}
	b := r.page.blocks[r.next]
	r.next++
	if b.info != info {
		r.t.Fatalf("%s:%d: a block of %q, want one of %q", r.page.path, b.line, b.info, info)
	}
	return b
}

// commands are the next block, of commands, which the caller runs.
func (r *reader) commands() string {
	r.t.Helper()
	return r.take("sh").text
}

// file is the next block, a file of that kind, under the name that the page gives it. The caller
// writes it.
func (r *reader) file(info string) (name, text string) {
	r.t.Helper()
	b := r.take(info)
	if name = b.file(); name == "" {
		r.t.Fatalf("%s:%d: the page gives this file no name", r.page.path, b.line)
	}
	return name, b.text
}

// output is the next block, what commands print, with which the caller compares what they do.
func (r *reader) output() string {
	r.t.Helper()
	return r.take("text").text
}

// section takes the blocks of a section out of the page, for a reader of its own.
func (r *reader) section(heading string) *reader {
	r.t.Helper()
	all, own := *r.page, *r.page
	all.blocks, own.blocks = nil, nil
	for _, b := range r.page.blocks {
		if b.heading == heading {
			own.blocks = append(own.blocks, b)
		} else {
			all.blocks = append(all.blocks, b)
		}
	}
	if len(own.blocks) == 0 {
		r.t.Fatalf("%s: no blocks below %q", r.page.path, heading)
	}
	r.page = &all
	return &reader{t: r.t, page: &own}
}

// notRun passes over commands that are not run here, for a reason.
func (r *reader) notRun(reason string) {
	r.t.Helper()
	r.t.Logf("%s: not run here: %s%s", r.page.path, reason, "\n"+r.take("sh").text)
}

// end fails where blocks are left.
func (r *reader) end() {
	r.t.Helper()
	for _, b := range r.page.blocks[r.next:] {
		if !b.isFragment() {
			r.t.Errorf("%s:%d: nothing runs this block of %q", r.page.path, b.line, b.info)
		}
	}
}
