/* Frames that no ordinary socket sends. */
#ifndef RUNNER_FRAMES_H
#define RUNNER_FRAMES_H

#include <stddef.h>
#include <stdint.h>

uint16_t internet_checksum(const void *data, size_t size);

/* One UDP datagram in VLAN 42 from the peer's end of the testbed; call it in the peer's namespace. */
void send_vlan_frame(void);

#endif
