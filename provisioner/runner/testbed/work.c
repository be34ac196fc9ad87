#include "testbed/work.h"

#include "attach/cgroups.h"
#include "attach/sampling.h"
#include "attach/struct_ops.h"

static bool is_work_wanted(const struct options *options)
{
	return !options->passive && !options->trigger_count;
}

void work_start(const struct run *run)
{
	if (!is_work_wanted(&run->options))
		return;
	if (cgroups_has_ours())
		cgroups_start_work();
	if (sampling_is_on() && !run->options.pid)
		sampling_start_load();
	struct_ops_start_use();
}

void work_start_beside(const struct options *options)
{
	struct bpf_object *object = NULL;
	struct bpf_program *program;
	bool cgroups = false, samples = false;

	if (is_work_wanted(options) && options->object)
		object = bpf_object__open_file(options->object, NULL);
	if (!object)
		return;
	bpf_object__for_each_program(program, object) {
		cgroups |= is_cgroup_type(bpf_program__type(program));
		samples |= bpf_program__type(program) == BPF_PROG_TYPE_PERF_EVENT;
	}
	bpf_object__close(object);
	if (cgroups)
		cgroups_start_work();
	if (samples)
		sampling_start_load();
}
