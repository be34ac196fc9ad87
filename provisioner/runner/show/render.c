#include "show/render.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "show/btf_json.h"
#include "system/symbols.h"

/* Whether one of the words of a name ("src_ip4", "skc-daddr") is in a list with blanks around each of them. */
static bool name_has_word(const char *name, const char *list)
{
	char word[34] = " ";
	size_t length = 1;

	for (;; name++) {
		if (isalpha((unsigned char)*name) && length < sizeof(word) - 2) {
			word[length++] = tolower((unsigned char)*name);
			continue;
		}
		word[length] = ' ';
		word[length + 1] = '\0';
		if (length > 1 && strstr(list, word))
			return true;
		length = 1;
		if (!*name)
			return false;
	}
}

static bool name_ends_with(const char *name, const char *end)
{
	size_t length = strlen(name), end_length = strlen(end);

	return length >= end_length && !strcmp(name + length - end_length, end);
}

static bool counts_something(const char *name)
{
	return name_has_word(name, " len size sz count cnt num nr proto protocol version family type id hash idx index tos "
			      "ttl flags port seq ack mask bytes packets ");
}

static bool is_address_name(const char *name)
{
	return !counts_something(name) &&
	       (name_has_word(name, " ip ips ipv ipaddr saddr daddr laddr raddr addr addrs address addresses sip dip vip rip "
			       "gateway gw nexthop backend ") ||
		name_ends_with(name, "addr"));
}

static bool is_end_name(const char *name)
{
	return is_address_name(name) || name_has_word(name, " src dst source dest destination local remote ");
}

static bool is_stack_name(const char *name)
{
	return strstr(name, "stack") && !name_has_word(name, " len size sz depth count cnt nr num err error ");
}

static const char *btf_name(const struct btf *btf, const struct btf_type *type)
{
	return btf__name_by_offset(btf, type->name_off);
}

/* Types that say it themselves, on the way through typedefs. */
static enum rendering by_typedef(const struct btf *btf, __u32 type_id, const char *name)
{
	const struct btf_type *type = btf__type_by_id(btf, type_id);

	for (; type && (btf_is_mod(type) || btf_is_typedef(type)); type = btf__type_by_id(btf, type->type)) {
		const char *alias = btf_name(btf, type);

		if (!strcmp(alias, "__be16"))
			return name_has_word(name, " proto protocol ethertype ") ? RENDER_ETHERTYPE : RENDER_BIG_ENDIAN;
		if (!strcmp(alias, "ipv4_addr") || !strcmp(alias, "in_addr_t") ||
		    (!strcmp(alias, "__be32") && is_end_name(name)))
			return RENDER_IPV4;
		if (!strcmp(alias, "__be32"))
			return RENDER_BIG_ENDIAN;
		if (!strcmp(alias, "duration") || !strcmp(alias, "duration_t"))
			return RENDER_NANOSECONDS;
	}
	return RENDER_NOTHING;
}

static enum rendering by_byte_array(size_t count, const char *name)
{
	if (count == 6 && !is_stack_name(name))
		return RENDER_MAC;
	if (count == 16 && is_end_name(name))
		return RENDER_IPV6;
	if (count == 4 && is_end_name(name))
		return RENDER_IPV4;
	if (name_has_word(name, " comm filename file path name str string text msg message buf buffer data payload line cmd "
			   "command arg args word host hostname "))
		return RENDER_TEXT;
	return RENDER_NOTHING;
}

static enum rendering of_array(const struct btf *btf, const struct btf_type *type, const char *name)
{
	const struct btf_array *array = btf_array(type);
	const struct btf_type *element = btf_resolve(btf, array->type);

	if (!element || !btf_is_int(element))
		return RENDER_NOTHING;
	if (element->size == 8 && (is_stack_name(name) || name_has_word(name, " trace ips ")))
		return RENDER_STACK;
	if (element->size == 4 && array->nelems == 4 && is_end_name(name))
		return RENDER_IPV6;
	if (element->size == 1 && strcmp(btf_name(btf, element), "char"))
		return by_byte_array(array->nelems, name);
	return RENDER_NOTHING;
}

/* The key of a longest prefix match trie. */
static bool is_prefix(const struct btf *btf, const struct btf_type *type)
{
	return btf_is_struct(type) && btf_vlen(type) >= 2 &&
	       name_has_word(btf__name_by_offset(btf, btf_members(type)[0].name_off), " prefixlen prefix ");
}

static enum rendering of_struct(const struct btf *btf, const struct btf_type *type)
{
	const char *name = btf_name(btf, type);

	if (!strcmp(name, "in6_addr"))
		return RENDER_IPV6;
	if (!strcmp(name, "in_addr"))
		return RENDER_IPV4;
	if (is_prefix(btf, type) && type->size == 4 + 4)
		return RENDER_IPV4_PREFIX;
	if (is_prefix(btf, type) && type->size == 4 + 16)
		return RENDER_IPV6_PREFIX;
	return RENDER_NOTHING;
}

static enum rendering by_time_name(size_t size, const char *name)
{
	if (name_has_word(name, " ns ") && name_has_word(name, " mnt pid net user uts ipc cgroup "))
		return RENDER_NOTHING; /* the number of a namespace */
	if (size == 8 && name_has_word(name, " ts timestamp tstamp ktime stamp start begin end "))
		return name_has_word(name, " us ms usec msec sec ") ? RENDER_NOTHING : RENDER_TIMESTAMP;
	if (name_has_word(name, " ns nsec nsecs nanoseconds "))
		return RENDER_NANOSECONDS;
	if (name_has_word(name, " us usec usecs microseconds "))
		return RENDER_MICROSECONDS;
	if (name_has_word(name, " ms msec msecs milliseconds "))
		return RENDER_MILLISECONDS;
	if (size == 8 && name_has_word(name, " delta duration latency lat elapsed "))
		return RENDER_NANOSECONDS;
	return RENDER_NOTHING;
}

static enum rendering by_number_name(size_t size, const char *name)
{
	enum rendering time = size >= 4 ? by_time_name(size, name) : RENDER_NOTHING;

	if (time != RENDER_NOTHING)
		return time;
	if (size >= 4 && is_stack_name(name))
		return RENDER_STACK_ID;
	if (size == 16 && is_end_name(name))
		return RENDER_IPV6;
	if (size == 8 && name_has_word(name, " ip pc addr address func fn caller callsite location ksym "))
		return RENDER_ADDRESS;
	if (size == 4 && is_address_name(name))
		return RENDER_IPV4;
	if (size == 2 && (name_has_word(name, " port ") || name_ends_with(name, "port")))
		return RENDER_PORT;
	if (size >= 4 && name_has_word(name, " errno err error "))
		return RENDER_ERRNO;
	if (size >= 4 && name_has_word(name, " ret retval rc res result "))
		return RENDER_RESULT;
	if (name_has_word(name, " sig signal signo "))
		return RENDER_SIGNAL;
	if (name_has_word(name, " flags "))
		return RENDER_HEX;
	if (name_has_word(name, " family af "))
		return RENDER_FAMILY;
	if (name_has_word(name, " proto protocol ipproto "))
		return RENDER_PROTOCOL;
	return RENDER_NOTHING;
}

enum rendering rendering_of(const struct btf *btf, __u32 type_id, const char *name)
{
	const struct btf_type *type = btf_resolve(btf, type_id);
	enum rendering rendering = by_typedef(btf, type_id, name);

	if (!type || rendering != RENDER_NOTHING)
		return rendering;
	if (btf_is_array(type))
		return of_array(btf, type, name);
	if (btf_is_struct(type))
		return of_struct(btf, type);
	if (btf_is_int(type) && !(btf_int_encoding(type) & BTF_INT_BOOL))
		return by_number_name(type->size, name);
	return RENDER_NOTHING;
}

static int64_t signed_value(const unsigned char *data, size_t size)
{
	int8_t tiny;
	int16_t small;
	int32_t middle;
	int64_t large;

	switch (size) {
	case 1:
		memcpy(&tiny, data, size);
		return tiny;
	case 2:
		memcpy(&small, data, size);
		return small;
	case 4:
		memcpy(&middle, data, size);
		return middle;
	case 8:
		memcpy(&large, data, size);
		return large;
	}
	return 0;
}

static uint64_t big_endian(const unsigned char *data, size_t size)
{
	uint64_t value = 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | data[i];
	return value;
}

/* Three digits, but never fewer than the whole number has. */
static bool render_duration(uint64_t nanoseconds, char *text, size_t limit)
{
	static const char *const UNITS[] = { "ns", "us", "ms", "s" };
	double value = nanoseconds;
	size_t unit = 0;

	for (; value >= 1000 && unit < 3; unit++)
		value /= 1000;
	snprintf(text, limit, "%.*f %s", !unit || value >= 100 ? 0 : value >= 10 ? 1 : 2, value, UNITS[unit]);
	return true;
}

#define ONE_DAY_NS (24ull * 3600 * 1000000000)

/* Only what the clocks of bpf_ktime_get_ns and bpf_ktime_get_boot_ns showed within the last day. */
static bool render_timestamp(uint64_t value, char *text, size_t limit)
{
	struct timespec now;
	uint64_t latest;

	clock_gettime(CLOCK_BOOTTIME, &now);
	latest = now.tv_sec * 1000000000ull + now.tv_nsec;
	if (!value || value > latest || value + ONE_DAY_NS < latest)
		return false;
	snprintf(text, limit, "%llu.%06llu", (unsigned long long)(value / 1000000000),
		 (unsigned long long)(value % 1000000000 / 1000));
	return true;
}

static bool copy_text(const char *name, char *text, size_t limit)
{
	if (name)
		snprintf(text, limit, "%s", name);
	return name;
}

static bool render_errno(int64_t value, char *text, size_t limit)
{
	return value && value > -4096 && value < 4096 &&
	       copy_text(strerrorname_np(value < 0 ? -value : value), text, limit);
}

static bool render_signal(int64_t value, char *text, size_t limit)
{
	const char *name = value > 0 && value < 65 ? sigabbrev_np(value) : NULL;

	if (name)
		snprintf(text, limit, "SIG%s", name);
	return name;
}

static const struct {
	enum rendering rendering;
	int64_t value;
	const char *name;
} NAMED[] = {
	{ RENDER_FAMILY, AF_UNIX, "AF_UNIX" },	 { RENDER_FAMILY, AF_INET, "AF_INET" },
	{ RENDER_FAMILY, AF_INET6, "AF_INET6" }, { RENDER_FAMILY, AF_NETLINK, "AF_NETLINK" },
	{ RENDER_FAMILY, AF_PACKET, "AF_PACKET" }, { RENDER_PROTOCOL, IPPROTO_ICMP, "ICMP" },
	{ RENDER_PROTOCOL, IPPROTO_TCP, "TCP" }, { RENDER_PROTOCOL, IPPROTO_UDP, "UDP" },
	{ RENDER_PROTOCOL, IPPROTO_ICMPV6, "ICMPv6" },
};

static bool render_named(enum rendering rendering, int64_t value, char *text, size_t limit)
{
	for (size_t i = 0; i < sizeof(NAMED) / sizeof(NAMED[0]); i++)
		if (NAMED[i].rendering == rendering && NAMED[i].value == value)
			return copy_text(NAMED[i].name, text, limit);
	return false;
}

/* A program may have turned the bytes itself or not: a well-known port the other way round is worth saying. */
static bool render_port(const unsigned char *data, char *text, size_t limit)
{
	uint16_t value = signed_value(data, sizeof(value));
	uint16_t other = ntohs(value);

	if (value < 1024 || other >= 1024 || !other)
		return false;
	snprintf(text, limit, "%u (%u reversed)", value, other);
	return true;
}

static bool render_text(const unsigned char *data, size_t size, char *text, size_t limit)
{
	size_t length = strnlen((const char *)data, size);

	for (size_t i = 0; i < length; i++)
		if (!isprint(data[i]) && !strchr("\t\r\n", data[i]))
			return false;
	snprintf(text, limit, "%.*s", (int)length, data);
	return length;
}

static bool render_prefix(int family, const unsigned char *data, char *text, size_t limit)
{
	char address[INET6_ADDRSTRLEN];
	uint32_t length;

	memcpy(&length, data, sizeof(length));
	inet_ntop(family, data + sizeof(length), address, sizeof(address));
	snprintf(text, limit, "%s/%u", address, length);
	return true;
}

static bool render_mac(const unsigned char *data, char *text, size_t limit)
{
	snprintf(text, limit, "%02x:%02x:%02x:%02x:%02x:%02x", data[0], data[1], data[2], data[3], data[4], data[5]);
	return true;
}

bool render(enum rendering rendering, const unsigned char *data, size_t size, char *text, size_t limit)
{
	int64_t value = signed_value(data, size);

	switch (rendering) {
	case RENDER_IPV4:
		return inet_ntop(AF_INET, data, text, limit);
	case RENDER_IPV6:
		return inet_ntop(AF_INET6, data, text, limit);
	case RENDER_IPV4_PREFIX:
		return render_prefix(AF_INET, data, text, limit);
	case RENDER_IPV6_PREFIX:
		return render_prefix(AF_INET6, data, text, limit);
	case RENDER_MAC:
		return render_mac(data, text, limit);
	case RENDER_BIG_ENDIAN:
		snprintf(text, limit, "%llu", (unsigned long long)big_endian(data, size));
		return true;
	case RENDER_ETHERTYPE:
		snprintf(text, limit, "0x%04llx", (unsigned long long)big_endian(data, size));
		return true;
	case RENDER_PORT:
		return render_port(data, text, limit);
	case RENDER_NANOSECONDS:
		return value >= 0 && render_duration(value, text, limit);
	case RENDER_MICROSECONDS:
		return value >= 0 && value < INT64_MAX / 1000 && render_duration(value * 1000, text, limit);
	case RENDER_MILLISECONDS:
		return value >= 0 && value < INT64_MAX / 1000000 && render_duration(value * 1000000, text, limit);
	case RENDER_TIMESTAMP:
		return render_timestamp(value, text, limit);
	case RENDER_RESULT:
		return value < 0 && render_errno(value, text, limit);
	case RENDER_ERRNO:
		return render_errno(value, text, limit);
	case RENDER_SIGNAL:
		return render_signal(value, text, limit);
	case RENDER_HEX:
		if (!value)
			return false;
		snprintf(text, limit, "0x%llx",
			 (unsigned long long)value & (size < 8 ? (1ull << 8 * size) - 1 : ~0ull));
		return true;
	case RENDER_FAMILY:
	case RENDER_PROTOCOL:
		return render_named(rendering, value, text, limit);
	case RENDER_TEXT:
		return render_text(data, size, text, limit);
	case RENDER_ADDRESS:
		return symbol_of_kernel(value, text, limit);
	case RENDER_NOTHING:
	case RENDER_STACK_ID:
	case RENDER_STACK:
		break;
	}
	return false;
}
