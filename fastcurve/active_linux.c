//go:build linux && cgo

// Finds out whether libzmq's calls of sodium_allocarray and sodium_free end in the pool. What
// counts is the place in libzmq that holds the address of the function it calls. The dynamic linker
// has written it there, or will do so at the first call.
#define _GNU_SOURCE
#include "pool_linux.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <string.h>

#if __ELF_NATIVE_CLASS == 64
#define RELOCATION_SYMBOL ELF64_R_SYM
#else
#define RELOCATION_SYMBOL ELF32_R_SYM
#endif

// A library or the program, as the dynamic linker knows it.
typedef struct {
	uintptr_t base;
	const ElfW(Phdr) *segments;
	int count;
} object;

static int contains(const object *o, const void *address) {
	for (int i = 0; i < o->count; i++) {
		uintptr_t offset = (uintptr_t) address - o->base - o->segments[i].p_vaddr;
		if (o->segments[i].p_type == PT_LOAD && offset < o->segments[i].p_memsz)
			return 1;
	}
	return 0;
}

// What is looked for in the list of objects, which is in the order in which they were loaded.
typedef struct {
	const void *zmq; // an address in libzmq
	int ours_first;  // the object of this file is before libzmq, or is in the same place
	int found;
	object libzmq;
} search;

static int visit(struct dl_phdr_info *info, size_t size, void *data) {
	(void) size;
	search *s = data;
	object o = {info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum};
	if (contains(&o, fastcurve_free()))
		s->ours_first = 1;
	if (!contains(&o, s->zmq))
		return 0;
	s->libzmq = o;
	return s->found = 1;
}

// The tables of an object in which its relocations are.
typedef struct {
	const char *strings;
	const ElfW(Sym) *symbols;
	const char *relocations[3]; // DT_JMPREL, DT_RELA, DT_REL
	size_t sizes[3];
	size_t entries[3]; // the size of one
} tables;

// The linker of glibc has added the base to the addresses in the table, that of musl has not.
static const void *absolute(const object *o, ElfW(Addr) address) {
	return (const void *) (address < o->base ? o->base + address : address);
}

static tables read_tables(const object *o) {
	tables t = {0};
	const ElfW(Dyn) *d = NULL;
	for (int i = 0; i < o->count; i++) {
		if (o->segments[i].p_type == PT_DYNAMIC)
			d = (const ElfW(Dyn) *) (o->base + o->segments[i].p_vaddr);
	}
	for (; d && d->d_tag != DT_NULL; d++) {
		switch (d->d_tag) {
		case DT_STRTAB: t.strings = absolute(o, d->d_un.d_ptr); break;
		case DT_SYMTAB: t.symbols = absolute(o, d->d_un.d_ptr); break;
		case DT_JMPREL: t.relocations[0] = absolute(o, d->d_un.d_ptr); break;
		case DT_RELA: t.relocations[1] = absolute(o, d->d_un.d_ptr); break;
		case DT_REL: t.relocations[2] = absolute(o, d->d_un.d_ptr); break;
		case DT_PLTRELSZ: t.sizes[0] = d->d_un.d_val; break;
		case DT_RELASZ: t.sizes[1] = d->d_un.d_val; break;
		case DT_RELSZ: t.sizes[2] = d->d_un.d_val; break;
		case DT_PLTREL:
			t.entries[0] = d->d_un.d_val == DT_RELA ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel));
			break;
		}
	}
	t.entries[1] = sizeof(ElfW(Rela));
	t.entries[2] = sizeof(ElfW(Rel));
	return t;
}

// Tells whether the object calls a function by that name and gets ours. An address in the object
// itself is that of the code which will look the name up at the first call.
static int ends_in(const search *s, const tables *t, const char *name, const void *ours) {
	int found = 0;
	if (!t->strings || !t->symbols)
		return 0;
	for (int i = 0; i < 3; i++) {
		if (!t->relocations[i] || !t->entries[i])
			continue;
		for (size_t at = 0; at + t->entries[i] <= t->sizes[i]; at += t->entries[i]) {
			// An ElfW(Rela) begins as an ElfW(Rel) does.
			const ElfW(Rel) *r = (const void *) (t->relocations[i] + at);
			const ElfW(Sym) *symbol = &t->symbols[RELOCATION_SYMBOL(r->r_info)];
			if (strcmp(t->strings + symbol->st_name, name) != 0)
				continue;
			const void *called;
			memcpy(&called, (const void *) (s->libzmq.base + r->r_offset), sizeof called);
			int later = i == 0 && contains(&s->libzmq, called) && s->ours_first;
			if (called != ours && !later)
				return 0;
			found = 1;
		}
	}
	return found;
}

int fastcurve_active(void) {
	search s = {.zmq = dlsym(RTLD_NEXT, "zmq_ctx_new")};
	if (!fastcurve_on() || !s.zmq || !dl_iterate_phdr(visit, &s))
		return 0;
	tables t = read_tables(&s.libzmq);
	return ends_in(&s, &t, "sodium_allocarray", fastcurve_allocarray())
		&& ends_in(&s, &t, "sodium_free", fastcurve_free());
}
