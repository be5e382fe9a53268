// SPDX-License-Identifier: MIT
/* See elf_import.h. ELF: System V ABI, x86-64 supplement, "Dynamic linking"; DT_GNU_HASH: as the
 * loader reads it (not in the ABI). */
#include "preload/elf_import.h"

#include <elf.h>
#include <link.h>
#include <string.h>

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Rela) * rela[2]; /* of data, of calls */
	size_t nr[2];
	const uint32_t *hash; /* DT_GNU_HASH */
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
	case DT_GNU_HASH:
		t->hash = (const uint32_t *)d->d_un.d_ptr;
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

/* ld.so has made the addresses in the table absolute. */
static struct tables tables_of(const struct link_map *library)
{
	const ElfW(Dyn) *d = library ? library->l_ld : NULL;
	struct tables t = {0};

	for (; d && d->d_tag != DT_NULL; d++)
		note(&t, d);
	return t;
}

bool elf_imports(const char *name)
{
	struct tables t = tables_of(_r_debug.r_map); /* the first is the main program */

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

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	for (const unsigned char *c = (const unsigned char *)name; *c; c++)
		hash = hash * 33 + *c;
	return hash;
}

/* Return: the first symbol called @name that is a function, or NULL. */
static const ElfW(Sym) * find(const struct tables *t, const char *name)
{
	uint32_t nr_buckets = t->hash[0], first = t->hash[1], nr_bloom = t->hash[2];
	const uint32_t *buckets = t->hash + 4 + (size_t)nr_bloom * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = buckets + nr_buckets;
	uint32_t hash = gnu_hash(name), i = nr_buckets ? buckets[hash % nr_buckets] : 0;

	if (i < first || !i)
		return NULL;
	for (;; i++) {
		const ElfW(Sym) *symbol = &t->symbols[i];

		if ((chain[i - first] | 1) == (hash | 1) && symbol->st_shndx != SHN_UNDEF &&
		    ELF64_ST_TYPE(symbol->st_info) == STT_FUNC &&
		    !strcmp(t->strings + symbol->st_name, name))
			return symbol;
		if (chain[i - first] & 1)
			return NULL;
	}
}

void *elf_function(const struct link_map *library, const char *name, size_t *ret_size)
{
	struct tables t = tables_of(library);
	const ElfW(Sym) *symbol = t.symbols && t.strings && t.hash ? find(&t, name) : NULL;

	if (!symbol)
		return NULL;
	*ret_size = symbol->st_size;
	return (void *)(library->l_addr + symbol->st_value);
}
