#include "elf_file.h"

#include <fcntl.h>
#include <gelf.h>
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

static bool is_function(const GElf_Sym *symbol)
{
	return GELF_ST_TYPE(symbol->st_info) == STT_FUNC && symbol->st_shndx != SHN_UNDEF;
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

		if (!gelf_getsym(data, i, &symbol) || !is_function(&symbol))
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

bool elf_find_function(const char *path, const char *name, unsigned long *offset)
{
	struct elf_file file;
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	bool found = false;

	if (open_elf(&file, path))
		while (!found && (section = elf_nextscn(file.elf, section)))
			if (gelf_getshdr(section, &header) &&
			    (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM))
				found = find_in_table(file.elf, section, &header, name, offset);
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

bool elf_has_usdt(const char *path, char *provider, size_t size, const char *name)
{
	struct elf_file file;
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	bool found = false;

	if (open_elf(&file, path))
		while (!found && (section = elf_nextscn(file.elf, section)))
			if (gelf_getshdr(section, &header) && is_usdt_section(file.elf, &header))
				found = notes_have_usdt(file.elf, elf_getdata(section, NULL), provider, size, name);
	close_elf(&file);
	return found;
}
