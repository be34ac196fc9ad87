/*
 * Conversations of a child with itself over loopback. None of them waits long for an answer that a program keeps from
 * coming. Port 0 is any free one; in a network namespace of its own every port is free, and nobody else is disturbed.
 */
#ifndef RUNNER_LOOPBACK_H
#define RUNNER_LOOPBACK_H

#include <stdint.h>

int loopback_enter(void); /* moves the caller there; 0 or a negative errno */

/* Connect, some segments both ways, close; with that congestion control, NULL for the usual one. */
void loopback_tcp(int family, uint16_t port, const char *congestion_control);
void loopback_refused(int family); /* a connection to where nobody listens */
void loopback_udp(int family, uint16_t port); /* unconnected and connected, both ways */
void loopback_ping(int family);
void loopback_unix(void);
void loopback_overfull(int family); /* more connections than a listener has room for; takes 1.3 s */ /* a stream and datagrams, by abstract addresses */

#endif
