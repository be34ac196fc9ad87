#include "testbed/frames.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "testbed/testbed.h"

#define VLAN_ID 42

uint16_t internet_checksum(const void *data, size_t size)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < size / 2; i++)
		sum += words[i];
	sum = (sum >> 16) + (sum & 0xffff);
	return ~(sum + (sum >> 16));
}

struct vlan_frame {
	struct ethhdr ethernet;
	uint16_t tag, protocol;	/* behind ETH_P_8021Q */
	struct iphdr ip;
	struct udphdr udp;
	char payload[32];
} __attribute__((packed));

static struct vlan_frame make_vlan_frame(void)
{
	size_t udp_size = sizeof(struct udphdr) + sizeof(((struct vlan_frame *)0)->payload);
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP,
			    .tot_len = htons(sizeof(ip) + udp_size) };
	struct vlan_frame frame = {
		.ethernet.h_proto = htons(ETH_P_8021Q),
		.tag = htons(VLAN_ID),
		.protocol = htons(ETH_P_IP),
		.udp = { .source = htons(40042), .dest = htons(1234), .len = htons(udp_size) }, /* no checksum: 0 */
		.payload = "hello from VLAN 42\n",
	};

	ether_aton_r(TESTBED_MAC, (struct ether_addr *)frame.ethernet.h_dest);
	ether_aton_r(TESTBED_PEER_MAC, (struct ether_addr *)frame.ethernet.h_source);
	inet_pton(AF_INET, TESTBED_PEER_IPV4, &ip.saddr);
	inet_pton(AF_INET, TESTBED_IPV4, &ip.daddr);
	ip.check = internet_checksum(&ip, sizeof(ip));
	frame.ip = ip;
	return frame;
}

void send_vlan_frame(void)
{
	struct vlan_frame frame = make_vlan_frame();
	struct sockaddr_ll to = { .sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(TESTBED_PEER_DEVICE) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	(void)!sendto(fd, &frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to));
	close(fd);
}
