/*
 * What answers on the testbed: HTTP on TCP ports, an echo on UDP ports. Each port has two sockets (SO_REUSEPORT), so
 * that a sk_reuseport program has a choice to make.
 */
#ifndef RUNNER_SERVICES_H
#define RUNNER_SERVICES_H

#include <stdint.h>

#define SERVICE_COUNT 5
#define SERVICE_SOCKETS 2

struct service {
	int type;	/* SOCK_STREAM or SOCK_DGRAM */
	uint16_t port;
	int sockets[SERVICE_SOCKETS];
};

extern const uint16_t HTTP_PORTS[2], ECHO_PORTS[3];

/* Fills SERVICE_COUNT services, TCP first; returns 0 or a negative errno. */
int services_open(struct service *services);
void services_answer_forever(const struct service *services) __attribute__((noreturn));
void services_close(const struct service *services);

#endif
