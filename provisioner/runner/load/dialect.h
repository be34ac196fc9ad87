/*
 * What libbpf does not take from an object that other loaders do: static program functions, maps of the old form,
 * section names of another spelling, no license.
 */
#ifndef RUNNER_DIALECT_H
#define RUNNER_DIALECT_H

#include <bpf/libbpf.h>

#include "load/elf_image.h"

/* Puts the image right in place, and says as notes what was done; what cannot be put right is left to libbpf. */
void dialect_repair(struct elf_image *image);

/* License NULL: the object's own. Without any, a note. Returns 0 or a negative errno. */
int dialect_set_license(struct elf_image *image, const char *license);

/* Gives a program whose section libbpf does not know the type that its section or its context points to. */
void dialect_infer_type(const struct bpf_object *object, struct bpf_program *program);

#endif
