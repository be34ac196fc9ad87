/* What an executable or a shared library offers to probes. */
#ifndef RUNNER_ELF_FILE_H
#define RUNNER_ELF_FILE_H

#include <stdbool.h>
#include <stddef.h>

bool elf_is_elf(const char *path); /* and not a script, be it one for the linker */

/*
 * Whether it defines this very function, in its symbols or those for the dynamic linker, and (offset may be NULL)
 * where in the file its code begins. Versions of one function are not told apart: the first is as good.
 */
bool elf_find_function(const char *path, const char *name, unsigned long *offset);

/* Whether it has this USDT probe; an empty provider means any and is filled in. */
bool elf_has_usdt(const char *path, char *provider, size_t size, const char *name);
bool elf_has_any_usdt(const char *path); /* distributions build some libraries without */

#endif
