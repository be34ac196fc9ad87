#include "attach/sampling.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "message.h"
#include "util.h"

#define USUAL_HERTZ 49 /* no divisor of timers, so that samples do not fall into step with one */
#define SPELL_SECONDS 0.020
#define LOAD_NICENESS 10

/* One for each CPU and program. */
static struct bpf_link **samplers;
static size_t sampler_count;

static const struct perf_event_attr CPU_CLOCK = {
	.size = sizeof(CPU_CLOCK),
	.type = PERF_TYPE_SOFTWARE,
	.config = PERF_COUNT_SW_CPU_CLOCK,
	.freq = 1,
	.sample_freq = USUAL_HERTZ,
};

static void set_parameter(struct perf_event_attr *attr, const char *key, unsigned long long value)
{
	if (!strcmp(key, "type")) {
		attr->type = value;
	} else if (!strcmp(key, "config")) {
		attr->config = value;
	} else if (!strcmp(key, "frequency")) {
		attr->freq = 1;
		attr->sample_freq = value;
	} else if (!strcmp(key, "period")) {
		attr->freq = 0;
		attr->sample_period = value;
	}
}

/* Words without "=" are a mere name. */
static struct perf_event_attr parse_parameters(const char *section)
{
	struct perf_event_attr attr = CPU_CLOCK;
	const char *at = strchr(section, '/');
	unsigned long long value;
	char key[16];

	for (; at; at = strchr(at + 1, ','))
		if (sscanf(at + 1, "%15[a-z]=%lli", key, (long long *)&value) == 2)
			set_parameter(&attr, key, value);
	return attr;
}

static bool add_sampler(struct bpf_link *link)
{
	struct bpf_link **grown = realloc(samplers, (sampler_count + 1) * sizeof(*grown));

	if (!grown)
		return false;
	samplers = grown;
	samplers[sampler_count++] = link;
	return true;
}

static int sample_cpu(const struct program *program, struct perf_event_attr *attr, int pid, int cpu)
{
	int fd = syscall(SYS_perf_event_open, attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link;

	if (fd < 0)
		return -errno;
	link = bpf_program__attach_perf_event(program->bpf, fd);
	if (link && add_sampler(link))
		return 0;
	close(fd);
	return link ? -ENOMEM : -errno;
}

/* Returns on how many CPUs, or a negative errno. A CPU that is switched off has no clock. */
static int sample_everywhere(const struct run *run, const struct program *program, struct perf_event_attr *attr)
{
	int pid = run->options.pid ? run->options.pid : -1; /* -1: all */
	int count = 0;

	for (int cpu = 0; cpu < libbpf_num_possible_cpus(); cpu++) {
		int error = sample_cpu(program, attr, pid, cpu);

		if (error && error != -ENODEV)
			return error;
		count += !error;
	}
	return count;
}

static void describe_sampling(struct program *program, const struct perf_event_attr *attr, int cpus)
{
	char what[64] = "cpu-clock";

	if (attr->type != CPU_CLOCK.type || attr->config != CPU_CLOCK.config)
		snprintf(what, sizeof(what), "event type %u config %llu", attr->type, attr->config);
	snprintf(program->target, sizeof(program->target), attr->freq ? "%s, %llu Hz, %d CPU%s" : "%s, every %llu, %d CPU%s",
		 what, attr->sample_freq, cpus, cpus == 1 ? "" : "s");
}

static bool counter_missing(const struct perf_event_attr *attr, int error)
{
	return attr->type != PERF_TYPE_SOFTWARE && (error == -ENOENT || error == -EOPNOTSUPP || error == -EINVAL);
}

int attach_perf_event(struct run *run, struct program *program)
{
	struct perf_event_attr attr = parse_parameters(program->section);
	int cpus = sample_everywhere(run, program, &attr);

	if (counter_missing(&attr, cpus)) {
		message_log("warning", "%s: this machine has no counter of type %u config %llu; the CPU clock runs it instead",
			    program->name, attr.type, attr.config);
		attr = CPU_CLOCK;
		cpus = sample_everywhere(run, program, &attr);
	}
	if (cpus < 0)
		return cpus;
	describe_sampling(program, &attr, cpus);
	return 0;
}

/* Not inlined, so that both names are seen in stacks. */
static __attribute__((noinline)) void compute(double deadline)
{
	volatile unsigned long sum = 0;

	while (seconds_now() < deadline)
		for (unsigned long i = 0; i < 10000; i++)
			sum += i * i;
}

static __attribute__((noinline)) void read_zeros(double deadline)
{
	static char zeros[65536];
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	while (seconds_now() < deadline)
		(void)!read(fd, zeros, sizeof(zeros));
	close(fd);
}

static void keep_busy(void)
{
	(void)!nice(LOAD_NICENESS);
	for (;;) {
		compute(seconds_now() + SPELL_SECONDS);
		read_zeros(seconds_now() + SPELL_SECONDS);
		usleep(SPELL_SECONDS * 1e6);
	}
}

bool sampling_is_on(void)
{
	return sampler_count;
}

void sampling_start_load(void)
{
	message_log("note", "exercising a CPU, in user space and in the kernel");
	if (fork_worker() == 0)
		keep_busy();
}

void sampling_detach(void)
{
	for (size_t i = 0; i < sampler_count; i++)
		bpf_link__destroy(samplers[i]);
	free(samplers);
	samplers = NULL;
	sampler_count = 0;
}
