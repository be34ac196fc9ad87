/* What attaches to sockets and to a network namespace. */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_REUSEPORT_SOCKARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} group SEC(".maps");

int assigned, selected, vlan_frames;

SEC("socket")
int filters(struct __sk_buff *skb)
{
	if (skb->vlan_present)
		__sync_fetch_and_add(&vlan_frames, 1);
	return 0;
}

SEC("sk_lookup")
int looks_up(struct bpf_sk_lookup *ctx)
{
	struct bpf_sock *sk;

	if (ctx->protocol != IPPROTO_TCP || ctx->local_port != 80)
		return SK_PASS;
	sk = bpf_map_lookup_elem(&listeners, &(__u32){ 0 });
	if (!sk)
		return SK_PASS;
	if (!bpf_sk_assign(ctx, sk, 0))
		__sync_fetch_and_add(&assigned, 1);
	bpf_sk_release(sk);
	return SK_PASS;
}

SEC("flow_dissector")
int dissects(struct __sk_buff *skb)
{
	return BPF_DROP; /* the kernel goes without a hash */
}

SEC("sk_reuseport")
int selects(struct sk_reuseport_md *ctx)
{
	if (!bpf_sk_select_reuseport(ctx, &group, &(__u32){ 3 }, 0))
		__sync_fetch_and_add(&selected, 1);
	return SK_PASS;
}
