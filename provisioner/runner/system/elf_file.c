#include "system/elf_file.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define USDT_SECTION ".note.stapsdt"
#define USDT_NOTE_TYPE 3

struct elf_file {
	int fd;
	Elf *elf;
};

static bool open_elf(struct elf_file *file, const char *path)
{
	*file = (struct elf_file){ .fd = open(path, O_RDONLY | O_CLOEXEC) };
	if (file->fd < 0)
		return false;
	elf_version(EV_CURRENT);
	file->elf = elf_begin(file->fd, ELF_C_READ_MMAP, NULL);
	return file->elf && elf_kind(file->elf) == ELF_K_ELF;
}

static void close_elf(struct elf_file *file)
{
	elf_end(file->elf);
	if (file->fd >= 0)
		close(file->fd);
}

bool elf_is_elf(const char *path)
{
	struct elf_file file;
	bool is = open_elf(&file, path);

	close_elf(&file);
	return is;
}

static bool is_function_symbol(const GElf_Sym *symbol)
{
	return GELF_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t hash = 5381;

	while (*name)
		hash = hash * 33 + (unsigned char)*name++;
	return hash;
}

/*
 * The Bloom filter of .gnu.hash says in a moment that a library does not export a function, where its symbols are a
 * hundred thousand. Layout: four 32-bit numbers, of which the third counts the filter's words, then these words.
 */
static bool may_export(Elf_Scn *section, const char *name)
{
	Elf_Data *data = elf_getdata(section, NULL);
	const uint32_t *numbers = data ? data->d_buf : NULL;
	uint32_t hash = gnu_hash(name);
	const uint64_t *words;
	uint64_t bits;

	if (!numbers || data->d_size < 16 || !numbers[2] || data->d_size < 16 + 8ULL * numbers[2])
		return true;
	words = (const uint64_t *)(numbers + 4);
	bits = 1ULL << hash % 64 | 1ULL << (hash >> (numbers[3] & 31)) % 64;
	return (words[hash / 64 % numbers[2]] & bits) == bits;
}

/* Symbols hold addresses as loaded, probes want offsets in the file. */
static unsigned long file_offset(Elf *elf, const GElf_Sym *symbol)
{
	GElf_Shdr header;

	if (!gelf_getshdr(elf_getscn(elf, symbol->st_shndx), &header))
		return symbol->st_value;
	return symbol->st_value - header.sh_addr + header.sh_offset;
}

static bool find_in_table(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, const char *name,
			  unsigned long *offset)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t count = header->sh_entsize ? header->sh_size / header->sh_entsize : 0;

	for (size_t i = 0; data && i < count; i++) {
		const char *found;
		GElf_Sym symbol;

		if (!gelf_getsym(data, i, &symbol) || !is_function_symbol(&symbol))
			continue;
		found = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (!found || strcmp(found, name))
			continue;
		if (offset)
			*offset = file_offset(elf, &symbol);
		return true;
	}
	return false;
}

static Elf_Scn *find_section(Elf *elf, Elf64_Word type, GElf_Shdr *header)
{
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, header) && header->sh_type == type)
			return section;
	return NULL;
}

static bool find_in_tables(Elf *elf, const char *name, unsigned long *offset)
{
	GElf_Shdr header;
	Elf_Scn *filter = find_section(elf, SHT_GNU_HASH, &header);
	Elf_Scn *table;

	if (!filter || may_export(filter, name)) {
		table = find_section(elf, SHT_DYNSYM, &header);
		if (table && find_in_table(elf, table, &header, name, offset))
			return true;
	}
	table = find_section(elf, SHT_SYMTAB, &header);
	return table && find_in_table(elf, table, &header, name, offset);
}

bool elf_find_function(const char *path, const char *name, unsigned long *offset)
{
	struct elf_file file;
	bool found = false;

	if (open_elf(&file, path))
		found = find_in_tables(file.elf, name, offset);
	close_elf(&file);
	return found;
}

/* Three addresses, then provider, name and arguments, each ended by a NUL. */
static bool is_usdt(Elf *elf, const char *data, size_t size, char *provider, size_t provider_size, const char *name)
{
	size_t skipped = 3 * gelf_fsize(elf, ELF_T_ADDR, 1, EV_CURRENT);
	const char *found_provider = data + skipped;
	const char *found_name;

	if (size <= skipped || data[size - 1])
		return false;
	found_name = found_provider + strlen(found_provider) + 1;
	if (found_name >= data + size || strcmp(found_name, name))
		return false;
	if (*provider)
		return !strcmp(provider, found_provider);
	snprintf(provider, provider_size, "%s", found_provider);
	return true;
}

static bool notes_have_usdt(Elf *elf, Elf_Data *data, char *provider, size_t size, const char *name)
{
	size_t at = 0, name_offset, content;
	GElf_Nhdr note;

	while (data && (at = gelf_getnote(data, at, &note, &name_offset, &content)))
		if (note.n_type == USDT_NOTE_TYPE &&
		    is_usdt(elf, (char *)data->d_buf + content, note.n_descsz, provider, size, name))
			return true;
	return false;
}

static bool is_usdt_section(Elf *elf, const GElf_Shdr *header)
{
	const char *name;
	size_t names;

	if (header->sh_type != SHT_NOTE || elf_getshdrstrndx(elf, &names))
		return false;
	name = elf_strptr(elf, names, header->sh_name);
	return name && !strcmp(name, USDT_SECTION);
}

static Elf_Scn *find_usdt_section(Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && is_usdt_section(elf, &header))
			return section;
	return NULL;
}

bool elf_has_usdt(const char *path, char *provider, size_t size, const char *name)
{
	struct elf_file file;
	Elf_Scn *section = open_elf(&file, path) ? find_usdt_section(file.elf) : NULL;
	bool found = section && notes_have_usdt(file.elf, elf_getdata(section, NULL), provider, size, name);

	close_elf(&file);
	return found;
}

bool elf_has_any_usdt(const char *path)
{
	struct elf_file file;
	bool has = open_elf(&file, path) && find_usdt_section(file.elf);

	close_elf(&file);
	return has;
}
