#include "children.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Against a fork bomb there is no winning; the rounds only keep us from trying for ever. */
#define MAX_ROUNDS 100

static bool kill_round(void)
{
	char path[64];
	bool any = false;
	FILE *file;
	int pid;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	file = fopen(path, "re");
	if (!file)
		return false;
	while (fscanf(file, "%d", &pid) == 1)
		any |= !kill(pid, SIGKILL);
	fclose(file);
	return any;
}

void children_kill_all(void)
{
	for (int round = 0; round < MAX_ROUNDS && kill_round(); round++)
		waitpid(-1, NULL, 0);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}
