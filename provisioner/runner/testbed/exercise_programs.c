#include "testbed/exercises.h"

#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include "util.h"

/* At a terminal, where bash reads its lines with readline. */
void exercise_shell_line(void)
{
	static const char typed[] = "echo hello from ebpf-dev\nexit\n";
	char shown[512];
	int ours, theirs;
	pid_t pid;

	if (openpty(&ours, &theirs, NULL, NULL, NULL))
		return;
	pid = fork_tied();
	if (pid == 0) {
		close(ours);
		login_tty(theirs);
		execlp("bash", "bash", "--norc", "-i", (char *)NULL);
		_exit(127);
	}
	close(theirs);
	(void)!write(ours, typed, sizeof(typed) - 1);
	while (read(ours, shown, sizeof(shown)) > 0) /* an error once bash has ended */
		;
	close(ours);
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

static void run_shell(const char *command)
{
	pid_t pid = fork_tied();

	if (pid == 0) {
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}

/* With a key known to both: no certificate has to be made. */
void exercise_tls(void)
{
	run_shell("command -v openssl >/dev/null || exit\n"
		  "timeout 20 openssl s_server -www -nocert -psk 00 -naccept 1 -accept 127.0.0.1:4433 &\n"
		  "for try in 1 2 3 4 5 6 7 8 9; do\n"
		  "  sleep 0.3\n"
		  "  printf 'GET / HTTP/1.0\\r\\n\\r\\n' | "
		  "  openssl s_client -quiet -psk 00 -connect 127.0.0.1:4433 && break\n"
		  "done\n"
		  "kill $!");
}

void exercise_python(void)
{
	run_shell("command -v python3 >/dev/null && exec python3 -c 'import json; json.dumps({})'");
}
