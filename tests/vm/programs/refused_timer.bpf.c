#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct alarm { struct bpf_timer timer; };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alarm);
} alarms SEC(".maps");

static int rung(void *map, __u32 *key, struct alarm *alarm)
{
	return 1;
}

SEC("tc")
int refused(struct __sk_buff *skb)
{
	__u32 key = 0;
	struct alarm *alarm = bpf_map_lookup_elem(&alarms, &key);

	if (!alarm || bpf_timer_init(&alarm->timer, &alarms, 1))
		return TC_ACT_OK;
	bpf_timer_set_callback(&alarm->timer, rung);
	return TC_ACT_OK;
}
