#include "load/elf_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_ORDER ELFDATA2LSB
#else
#define NATIVE_ORDER ELFDATA2MSB
#endif

static int read_whole(struct elf_image *image, int fd)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	image->data = malloc(stat.st_size + 1);
	if (!image->data)
		return -ENOMEM;
	while (image->size < (size_t)stat.st_size) {
		ssize_t n = read(fd, image->data + image->size, stat.st_size - image->size);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			break;
		if (n > 0)
			image->size += n;
	}
	return 0;
}

int elf_image_read(struct elf_image *image, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error;

	*image = (struct elf_image){};
	if (fd < 0)
		return -errno;
	error = read_whole(image, fd);
	close(fd);
	return error;
}

void elf_image_free(struct elf_image *image)
{
	free(image->data);
	*image = (struct elf_image){};
}

static Elf64_Ehdr *image_header(const struct elf_image *image)
{
	return (Elf64_Ehdr *)image->data;
}

static void *image_part(const struct elf_image *image, uint64_t offset, uint64_t size)
{
	return offset <= image->size && size <= image->size - offset ? image->data + offset : NULL;
}

size_t elf_section_count(const struct elf_image *image)
{
	const Elf64_Ehdr *elf = image_header(image);

	if (image->size < sizeof(*elf) || elf->e_shentsize != sizeof(Elf64_Shdr) || elf->e_shoff % 8 ||
	    !image_part(image, elf->e_shoff, (uint64_t)elf->e_shnum * sizeof(Elf64_Shdr)))
		return 0;
	return elf->e_shnum;
}

const char *elf_image_fault(const struct elf_image *image)
{
	const Elf64_Ehdr *elf = image_header(image);

	if (!image->size)
		return "the file is empty";
	if (image->size < sizeof(*elf) || memcmp(elf->e_ident, ELFMAG, SELFMAG))
		return "it is not an ELF file";
	if (elf->e_ident[EI_CLASS] != ELFCLASS64)
		return "it is a 32-bit ELF file, and eBPF is 64-bit";
	if (elf->e_ident[EI_DATA] != NATIVE_ORDER)
		return "it is for the other byte order";
	if (elf->e_machine != EM_BPF)
		return "it is an ELF file for another processor, not for eBPF";
	if (!elf_section_count(image))
		return "its sections lie outside of the file, it was cut short";
	return NULL;
}

Elf64_Shdr *elf_section(const struct elf_image *image, size_t index)
{
	if (index >= elf_section_count(image))
		return NULL;
	return (Elf64_Shdr *)(image->data + image_header(image)->e_shoff) + index;
}

void *elf_section_data(const struct elf_image *image, const Elf64_Shdr *section)
{
	return section->sh_type == SHT_NOBITS ? NULL : image_part(image, section->sh_offset, section->sh_size);
}

/* The string at an offset of a string table, NULL when it does not end inside. */
static const char *string_at(const char *table, size_t size, size_t offset)
{
	return table && offset < size && memchr(table + offset, '\0', size - offset) ? table + offset : NULL;
}

static Elf64_Shdr *name_section(const struct elf_image *image)
{
	return elf_section(image, image_header(image)->e_shstrndx);
}

const char *elf_section_name(const struct elf_image *image, const Elf64_Shdr *section)
{
	const Elf64_Shdr *names = name_section(image);

	return names ? string_at(elf_section_data(image, names), names->sh_size, section->sh_name) : NULL;
}

Elf64_Shdr *elf_find_section(const struct elf_image *image, const char *name)
{
	for (size_t i = 1; i < elf_section_count(image); i++) {
		Elf64_Shdr *section = elf_section(image, i);
		const char *found = elf_section_name(image, section);

		if (found && !strcmp(found, name))
			return section;
	}
	return NULL;
}

/* Appends aligned to 8 bytes; returns the offset, 0 when there is no memory. */
static size_t image_append(struct elf_image *image, const void *data, size_t size)
{
	size_t offset = (image->size + 7) / 8 * 8;
	unsigned char *grown = realloc(image->data, offset + size + 1);

	if (!grown)
		return 0;
	memset(grown + image->size, 0, offset - image->size);
	memcpy(grown + offset, data, size);
	image->data = grown;
	image->size = offset + size;
	return offset;
}

/* Returns the place of a new name in the table of section names, 0 on failure. */
static uint32_t add_section_name(struct elf_image *image, const char *name)
{
	Elf64_Shdr *names = name_section(image);
	const char *old = names ? elf_section_data(image, names) : NULL;
	size_t old_size = old ? names->sh_size : 0;
	size_t new_size = old_size + strlen(name) + 1;
	char *table = old ? malloc(new_size) : NULL;
	size_t offset = 0;

	if (table) {
		memcpy(table, old, old_size);
		strcpy(table + old_size, name);
		offset = image_append(image, table, new_size);
	}
	free(table);
	if (!offset)
		return 0;
	names = name_section(image);
	names->sh_offset = offset;
	names->sh_size = new_size;
	return old_size;
}

static Elf64_Shdr *add_section(struct elf_image *image, const char *name)
{
	uint32_t place = add_section_name(image, name);
	size_t count = elf_section_count(image);
	Elf64_Shdr *table = place ? calloc(count + 1, sizeof(*table)) : NULL;
	size_t offset = 0;

	if (table && count < SHN_LORESERVE - 1) {
		memcpy(table, elf_section(image, 0), count * sizeof(*table));
		table[count] = (Elf64_Shdr){ .sh_name = place, .sh_type = SHT_PROGBITS, .sh_addralign = 1 };
		offset = image_append(image, table, (count + 1) * sizeof(*table));
	}
	free(table);
	if (!offset)
		return NULL;
	image_header(image)->e_shoff = offset;
	image_header(image)->e_shnum = count + 1;
	return elf_section(image, count);
}

int elf_put_section(struct elf_image *image, const char *name, const void *data, size_t size)
{
	size_t offset = image_append(image, data, size);
	Elf64_Shdr *section = offset ? elf_find_section(image, name) : NULL;

	if (offset && !section)
		section = add_section(image, name);
	if (!section)
		return -ENOMEM;
	section->sh_offset = offset;
	section->sh_size = size;
	return 0;
}

int elf_rename_section(struct elf_image *image, const char *name, const char *new_name)
{
	uint32_t place = add_section_name(image, new_name);
	Elf64_Shdr *section = elf_find_section(image, name);

	if (!place || !section)
		return -ENOENT;
	section->sh_name = place;
	return 0;
}

struct elf_symbols elf_symbols(const struct elf_image *image)
{
	struct elf_symbols symbols = {};
	const Elf64_Shdr *table = NULL, *names;

	for (size_t i = 1; i < elf_section_count(image) && !table; i++)
		if (elf_section(image, i)->sh_type == SHT_SYMTAB)
			table = elf_section(image, i);
	names = table ? elf_section(image, table->sh_link) : NULL;
	if (!names || table->sh_offset % 8 || !elf_section_data(image, table) || !elf_section_data(image, names))
		return symbols;
	symbols.at = elf_section_data(image, table);
	symbols.count = table->sh_size / sizeof(*symbols.at);
	symbols.names = elf_section_data(image, names);
	symbols.names_size = names->sh_size;
	return symbols;
}

const char *elf_symbol_name(const struct elf_symbols *symbols, const Elf64_Sym *symbol)
{
	return string_at(symbols->names, symbols->names_size, symbol->st_name);
}

Elf64_Sym *elf_find_symbol(const struct elf_symbols *symbols, const char *name, unsigned char type)
{
	for (size_t i = 0; i < symbols->count; i++) {
		const char *found = elf_symbol_name(symbols, &symbols->at[i]);

		if (ELF64_ST_TYPE(symbols->at[i].st_info) == type && found && !strcmp(found, name))
			return &symbols->at[i];
	}
	return NULL;
}
