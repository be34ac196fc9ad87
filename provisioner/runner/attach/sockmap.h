/*
 * sk_skb and sk_msg programs: they attach to a SOCKMAP or SOCKHASH and run for the sockets in it. Unless a sockops
 * program puts them there, these are the near ends of two connections over loopback, entries 0 and 1:
 *
 *   far end  ---  entry 0      entry 1  ---  far end
 *
 * All four ends send about once a second, and receive what arrives. What comes in at an entry (sk_skb) can be
 * redirected out of the other one, and what is sent at one (sk_msg) into the other, without going round for ever.
 */
#ifndef RUNNER_SOCKMAP_H
#define RUNNER_SOCKMAP_H

#include "run.h"

int attach_sockmap(struct run *run, struct program *program);	/* 0 or a negative errno */
void sockmap_start_traffic(const struct run *run);		/* once all programs are attached */

bool is_sockmap(const struct bpf_map *map);
bool program_uses_map(const struct program *program, const struct bpf_map *map);
/* The key of a SOCKHASH is the number too, in its first bytes. Returns 0 or a negative errno. */
int sockmap_put(const struct bpf_map *map, __u32 index, int socket);

#endif
