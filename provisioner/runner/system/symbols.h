/* Addresses of code as names: the kernel's through /proc/kallsyms, a process's through the files it has mapped. */
#ifndef RUNNER_SYMBOLS_H
#define RUNNER_SYMBOLS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/* Reads the kernel's symbols now: it takes long enough for a process to end whose own are wanted then. */
void symbols_prepare(void);

/* "vfs_read+0x1a"; false when no symbol covers the address. */
bool symbol_of_kernel(__u64 address, char *text, size_t size);

/* "printf+0x1a (libc.so.6)", "[libc.so.6]+0x1234" without a symbol; false when the process has no file there. */
bool symbol_of_process(long pid, __u64 address, char *text, size_t size);

bool is_kernel_address(__u64 address);

#endif
