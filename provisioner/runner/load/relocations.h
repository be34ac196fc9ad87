/*
 * CO-RE relocations against structs of the program's own. Other loaders bring a BTF with them that has these; libbpf
 * knows the kernel's alone, and poisons every access to what that does not have.
 */
#ifndef RUNNER_RELOCATIONS_H
#define RUNNER_RELOCATIONS_H

#include "load/elf_image.h"

/*
 * Removes those whose struct is a key or value of a map and unknown to the kernel: what the compiler put in is right
 * then, as nobody else lays the struct out.
 */
void relocations_settle_own(struct elf_image *image);

#endif
