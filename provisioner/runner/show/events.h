/* Ring and perf buffers: each record becomes an event message. */
#ifndef RUNNER_EVENTS_H
#define RUNNER_EVENTS_H

#include "run.h"

/* Before load: the kernel refuses buffer maps that name a value type; it is only kept in BTF. */
void events_prepare_map(struct bpf_map *map);

/* After load: opens every buffer map of the object. A failure is logged, the run goes on without that map. */
void events_open(struct run *run);

size_t events_descriptors(int *descriptors, size_t limit); /* to poll; returns how many there are */
int events_due_ms(void); /* until they are to be looked at unasked; -1: never */
bool events_consume(void); /* what is there now, but not for ever in a flood; true when there was something */
void events_say_losses(void); /* that have not been said, once everything is read */
void events_close(void);

#endif
