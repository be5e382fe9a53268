// SPDX-License-Identifier: MIT
/* See elf_import.h. ELF: System V ABI, x86-64 supplement, "Dynamic linking". */
#include "preload/elf_import.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Rela) * rela[2]; /* of data, of calls */
	size_t nr[2];
};

static void note(struct tables *t, const ElfW(Dyn) * d)
{
	switch (d->d_tag) {
	case DT_SYMTAB:
		t->symbols = (const ElfW(Sym) *)d->d_un.d_ptr;
		break;
	case DT_STRTAB:
		t->strings = (const char *)d->d_un.d_ptr;
		break;
	case DT_RELA:
		t->rela[0] = (const ElfW(Rela) *)d->d_un.d_ptr;
		break;
	case DT_RELASZ:
		t->nr[0] = d->d_un.d_val / sizeof(ElfW(Rela));
		break;
	case DT_JMPREL:
		t->rela[1] = (const ElfW(Rela) *)d->d_un.d_ptr;
		break;
	case DT_PLTRELSZ:
		t->nr[1] = d->d_un.d_val / sizeof(ElfW(Rela));
		break;
	}
}

bool elf_imports(const char *name)
{
	/* The first is the main program; ld.so has made the addresses in its table absolute. */
	const ElfW(Dyn) *d = _r_debug.r_map ? _r_debug.r_map->l_ld : NULL;
	struct tables t = {0};

	for (; d && d->d_tag != DT_NULL; d++)
		note(&t, d);
	if (!t.symbols || !t.strings)
		return false;
	for (int which = 0; which < 2; which++)
		for (size_t i = 0; t.rela[which] && i < t.nr[which]; i++) {
			const ElfW(Sym) *symbol = &t.symbols[ELF64_R_SYM(t.rela[which][i].r_info)];

			if (ELF64_R_SYM(t.rela[which][i].r_info) &&
			    !strcmp(t.strings + symbol->st_name, name))
				return true;
		}
	return false;
}
