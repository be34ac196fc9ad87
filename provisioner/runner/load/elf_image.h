/* A private copy of an object file, so that what libbpf does not take can be put right before it sees it. */
#ifndef RUNNER_ELF_IMAGE_H
#define RUNNER_ELF_IMAGE_H

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>

struct elf_image {
	unsigned char *data;
	size_t size;
};

/* Returns 0 or a negative errno. */
int elf_image_read(struct elf_image *image, const char *path);
void elf_image_free(struct elf_image *image);

/* Why this is no eBPF object at all, or NULL. */
const char *elf_image_fault(const struct elf_image *image);

/*
 * Nothing in the file is trusted: what points outside of it is answered with NULL. Pointers hold until a section is
 * put or renamed.
 */
size_t elf_section_count(const struct elf_image *image);
Elf64_Shdr *elf_section(const struct elf_image *image, size_t index);
const char *elf_section_name(const struct elf_image *image, const Elf64_Shdr *section);
Elf64_Shdr *elf_find_section(const struct elf_image *image, const char *name);
void *elf_section_data(const struct elf_image *image, const Elf64_Shdr *section);

/* Adds the section or replaces its content; the data is copied. Both return 0 or a negative errno. */
int elf_put_section(struct elf_image *image, const char *name, const void *data, size_t size);
int elf_rename_section(struct elf_image *image, const char *name, const char *new_name);

struct elf_symbols {
	Elf64_Sym *at;
	size_t count;
	const char *names;
	size_t names_size;
};

struct elf_symbols elf_symbols(const struct elf_image *image); /* empty when there are none */
const char *elf_symbol_name(const struct elf_symbols *symbols, const Elf64_Sym *symbol);
Elf64_Sym *elf_find_symbol(const struct elf_symbols *symbols, const char *name, unsigned char type);

#endif
