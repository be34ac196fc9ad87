/* The command line. */
#ifndef RUNNER_OPTIONS_H
#define RUNNER_OPTIONS_H

#include "run.h"

/* Ends the process, with the usage on stderr, when there is something wrong with it. */
struct options parse_options(int argc, char **argv);

#endif
