#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("tp/sched/sched_process_exec")
int no_license(void *ctx)
{
	bpf_printk("run");
	return 0;
}
