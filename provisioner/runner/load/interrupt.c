#include "load/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"
#include "util.h"

static pid_t stdin_watcher;

/* For signal handlers, where nothing else may be called. */
static void say_last(const char *lines, size_t size)
{
	ssize_t ignored = write(STDOUT_FILENO, lines, size);

	(void)ignored;
}

/* Verification of a big program takes minutes, and the kernel looks at signals only to give up altogether. */
static void end_at_once(int number)
{
	static const char LAST[] = "\n{\"type\":\"done\",\"status\":130,\"reason\":\"signal\"}\n";

	(void)number;
	say_last(LAST, sizeof(LAST) - 1);
	_exit(EXIT_INTERRUPTED);
}

/* libbpf trusts what an ELF file says about itself. */
static void end_crashed(int number)
{
	static const char LAST[] =
		"\n{\"type\":\"error\",\"code\":\"open-failed\",\"brief\":\"libbpf crashed on the object file: it is "
		"damaged\",\"details\":\"\",\"hint\":\"Compile the program again.\"}\n"
		"{\"type\":\"done\",\"status\":7,\"reason\":\"error\"}\n";

	(void)number;
	say_last(LAST, sizeof(LAST) - 1);
	_exit(EXIT_LOAD);
}

static void watch_stdin_end(pid_t parent)
{
	char ignored[256];
	ssize_t n;

	do
		n = read(STDIN_FILENO, ignored, sizeof(ignored));
	while (n > 0 || (n < 0 && errno == EINTR));
	kill(parent, SIGTERM);
	_exit(0);
}

static void set_handlers(void (*stop)(int), void (*crash)(int))
{
	static const int STOPS[] = { SIGINT, SIGTERM, SIGHUP };
	static const int CRASHES[] = { SIGSEGV, SIGBUS, SIGFPE };

	for (size_t i = 0; i < sizeof(STOPS) / sizeof(STOPS[0]); i++)
		signal(STOPS[i], stop);
	for (size_t i = 0; i < sizeof(CRASHES) / sizeof(CRASHES[0]); i++)
		signal(CRASHES[i], crash);
}

void interrupt_allow(bool watch_stdin)
{
	pid_t parent = getpid();

	/* The watcher first: it must not speak for us when a signal goes to the whole process group. */
	stdin_watcher = watch_stdin ? fork_tied() : -1;
	if (!stdin_watcher)
		watch_stdin_end(parent);
	set_handlers(end_at_once, end_crashed);
}

void interrupt_forbid(void)
{
	set_handlers(SIG_DFL, SIG_DFL);
	if (stdin_watcher <= 0)
		return;
	kill(stdin_watcher, SIGKILL);
	waitpid(stdin_watcher, NULL, 0);
}
