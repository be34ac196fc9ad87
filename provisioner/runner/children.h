/* Whatever a trigger leaves running becomes our child (PR_SET_CHILD_SUBREAPER), so that it can be ended with us. */
#ifndef RUNNER_CHILDREN_H
#define RUNNER_CHILDREN_H

void children_kill_all(void);

#endif
