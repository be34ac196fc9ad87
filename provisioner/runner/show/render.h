/* One value as a text for people. */
#ifndef RUNNER_RENDER_H
#define RUNNER_RENDER_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stddef.h>

enum rendering {
	RENDER_NOTHING,
	RENDER_IPV4,
	RENDER_IPV6,
	RENDER_IPV4_PREFIX,	/* struct { u32 prefixlen; the address } */
	RENDER_IPV6_PREFIX,
	RENDER_MAC,
	RENDER_BIG_ENDIAN,	/* a number in network byte order: a port */
	RENDER_ETHERTYPE,	/* the same in hex */
	RENDER_PORT,		/* in which order is not known */
	RENDER_NANOSECONDS,
	RENDER_MICROSECONDS,
	RENDER_MILLISECONDS,
	RENDER_TIMESTAMP,	/* nanoseconds since boot */
	RENDER_RESULT,		/* a negative one is an error number */
	RENDER_ERRNO,
	RENDER_SIGNAL,
	RENDER_HEX,
	RENDER_FAMILY,
	RENDER_PROTOCOL,
	RENDER_TEXT,		/* bytes that are not declared as char */
	RENDER_ADDRESS,		/* of code or data in the kernel */
	RENDER_STACK_ID,
	RENDER_STACK,
};

/* What a type and a name suggest; array and struct types too. */
enum rendering rendering_of(const struct btf *btf, __u32 type_id, const char *name);

/* False when the value is not what its name promised, or reads no better than a plain number. Not for stacks. */
bool render(enum rendering rendering, const unsigned char *data, size_t size, char *text, size_t limit);

#endif
