#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

static const char FORMAT[] = "%f";

SEC("socket")
int refused(struct __sk_buff *skb)
{
	char text[16];
	__u64 arguments[] = { skb->len };

	return bpf_snprintf(text, sizeof(text), FORMAT, arguments, sizeof(arguments)); /* refused here */
}
