/* Programs of routes (lightweight tunnels). */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("lwt_in")
int comes_in(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("lwt_in")
int comes_in_too(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("lwt_out")
int goes_out(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("lwt_xmit")
int is_sent(struct __sk_buff *skb)
{
	return BPF_OK;
}

SEC("lwt_seg6local")
int ends_segment(struct __sk_buff *skb)
{
	return BPF_OK;
}
