#include "system/symbols.h"

#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct code_symbol {
	__u64 address;
	__u64 size; /* 0: up to the next one */
	char *name;
};

struct code_symbols {
	struct code_symbol *symbols;
	size_t count, capacity;
};

static void add_code_symbol(struct code_symbols *table, __u64 address, __u64 size, const char *name)
{
	if (table->count == table->capacity) {
		size_t capacity = table->capacity ? 2 * table->capacity : 1024;
		struct code_symbol *larger = realloc(table->symbols, capacity * sizeof(*larger));

		if (!larger)
			return;
		table->symbols = larger;
		table->capacity = capacity;
	}
	table->symbols[table->count++] = (struct code_symbol){ address, size, strdup(name) };
}

static int by_code_address(const void *a, const void *b)
{
	__u64 left = ((const struct code_symbol *)a)->address;
	__u64 right = ((const struct code_symbol *)b)->address;

	return left < right ? -1 : left > right;
}

static void sort_code_symbols(struct code_symbols *table)
{
	if (table->count)
		qsort(table->symbols, table->count, sizeof(*table->symbols), by_code_address);
}

/* The last symbol at or before the address, unless that ends before it. */
static const struct code_symbol *find_code_symbol(const struct code_symbols *table, __u64 address)
{
	size_t low = 0, high = table->count;
	const struct code_symbol *symbol;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (table->symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	symbol = &table->symbols[low - 1];
	return symbol->size && address >= symbol->address + symbol->size ? NULL : symbol;
}

/* "ffffffff81000000 T _text [module]"; without the right to see addresses the kernel gives zeros for all of them. */
static void read_kernel_symbol(struct code_symbols *table, char *line)
{
	/* By hand, as there are a quarter of a million lines. */
	char *rest;
	__u64 address = strtoull(line, &rest, 16);

	if (!address || rest[0] != ' ' || !rest[1] || !strchr("tTwW", rest[1]) || rest[2] != ' ')
		return;
	rest += 3;
	rest[strcspn(rest, "\t\n")] = '\0';
	add_code_symbol(table, address, 0, rest);
}

static void read_kallsyms(struct code_symbols *table)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	char line[512];

	while (file && fgets(line, sizeof(line), file))
		read_kernel_symbol(table, line);
	if (file)
		fclose(file);
	sort_code_symbols(table);
}

static const struct code_symbols *kernel_symbols(void)
{
	static struct code_symbols kernel;
	static bool is_read;

	if (!is_read)
		read_kallsyms(&kernel);
	is_read = true;
	return &kernel;
}

void symbols_prepare(void)
{
	kernel_symbols();
}

bool is_kernel_address(__u64 address)
{
	return address >> 63;
}

bool symbol_of_kernel(__u64 address, char *text, size_t size)
{
	const struct code_symbol *symbol;

	if (!is_kernel_address(address))
		return false;
	symbol = find_code_symbol(kernel_symbols(), address);
	if (!symbol)
		return false;
	snprintf(text, size, "%s+0x%llx", symbol->name, address - symbol->address);
	return true;
}

#define MAX_CODE_FILES 64
#define MAX_CODE_SEGMENTS 16

/* An executable or a library; where its file offsets are loaded is what its symbols count from. */
struct code_file {
	dev_t device;
	ino_t inode;
	struct code_symbols table;
	GElf_Phdr segments[MAX_CODE_SEGMENTS];
	size_t segment_count;
};

static void read_symbol_section(struct code_file *file, Elf *elf, Elf_Scn *section, const GElf_Shdr *header)
{
	Elf_Data *data = elf_getdata(section, NULL);
	GElf_Sym symbol;

	for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
		const char *name = elf_strptr(elf, header->sh_link, symbol.st_name);

		if (GELF_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF && name && *name)
			add_code_symbol(&file->table, symbol.st_value, symbol.st_size, name);
	}
}

static void read_code_sections(struct code_file *file, Elf *elf)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	GElf_Phdr segment;

	for (int i = 0; file->segment_count < MAX_CODE_SEGMENTS && gelf_getphdr(elf, i, &segment); i++)
		if (segment.p_type == PT_LOAD)
			file->segments[file->segment_count++] = segment;
	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) &&
		    (header.sh_type == SHT_SYMTAB || header.sh_type == SHT_DYNSYM))
			read_symbol_section(file, elf, section, &header);
	sort_code_symbols(&file->table);
}

static void read_code_file(struct code_file *file, int fd)
{
	Elf *elf;

	elf_version(EV_CURRENT);
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		read_code_sections(file, elf);
	elf_end(elf);
}

/* The file as the process sees it, which may live in a container. */
static const struct code_file *open_code_file(long pid, const char *path)
{
	static struct code_file files[MAX_CODE_FILES];
	static size_t count;
	struct code_file *file = NULL;
	struct stat status;
	char full[4200];
	int fd;

	snprintf(full, sizeof(full), "/proc/%ld/root%s", pid, path);
	fd = open(full, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status)) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (files[i].device == status.st_dev && files[i].inode == status.st_ino) {
			close(fd);
			return &files[i];
		}
	}
	if (count < MAX_CODE_FILES) {
		file = &files[count++];
		file->device = status.st_dev;
		file->inode = status.st_ino;
		read_code_file(file, fd);
	}
	close(fd);
	return file;
}

struct code_mapping {
	unsigned long long start, end, offset;
	char path[4096];
};

static bool find_code_mapping(long pid, __u64 address, struct code_mapping *mapping)
{
	char path[64], line[4352];
	FILE *file;
	bool found = false;

	snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
	file = fopen(path, "re");
	while (file && !found && fgets(line, sizeof(line), file))
		found = sscanf(line, "%llx-%llx %*s %llx %*s %*s %4095[^\n]", &mapping->start, &mapping->end,
			       &mapping->offset, mapping->path) == 4 &&
			address >= mapping->start && address < mapping->end && mapping->path[0] == '/';
	if (file)
		fclose(file);
	return found;
}

static __u64 to_link_address(const struct code_file *file, __u64 offset)
{
	for (size_t i = 0; i < file->segment_count; i++) {
		const GElf_Phdr *segment = &file->segments[i];

		if (offset >= segment->p_offset && offset < segment->p_offset + segment->p_filesz)
			return offset - segment->p_offset + segment->p_vaddr;
	}
	return offset;
}

bool symbol_of_process(long pid, __u64 address, char *text, size_t size)
{
	const struct code_symbol *symbol = NULL;
	const struct code_file *file;
	struct code_mapping mapping;
	const char *name;
	__u64 offset, at = 0;

	if (pid <= 0 || !find_code_mapping(pid, address, &mapping))
		return false;
	name = strrchr(mapping.path, '/') + 1;
	offset = address - mapping.start + mapping.offset;
	file = open_code_file(pid, mapping.path);
	if (file) {
		at = to_link_address(file, offset);
		symbol = find_code_symbol(&file->table, at);
	}
	if (symbol)
		snprintf(text, size, "%s+0x%llx (%s)", symbol->name, at - symbol->address, name);
	else
		snprintf(text, size, "[%s]+0x%llx", name, offset);
	return true;
}
