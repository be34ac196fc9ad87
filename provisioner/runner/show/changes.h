/*
 * Maps and global variables while the programs run: what has changed is said once a second, for programs that have no
 * other way to show that they work. Ends with the first line or event that comes from them.
 */
#ifndef RUNNER_CHANGES_H
#define RUNNER_CHANGES_H

#include "run.h"

void changes_start(const struct run *run); /* from now on */
int changes_due_ms(void);		   /* until the next look, -1 when there is nothing to look at */
void changes_say(void);
void changes_stop(void);

#endif
