// SPDX-License-Identifier: MIT
// Runs workload-pattern on its own software device and sends requests to it.
#ifndef CCR_WORKLOAD_TEST_H
#define CCR_WORKLOAD_TEST_H

#include "test/softcuda/softcuda_test.h"

struct program {
	pid_t pid;
	FILE *to, *from;
	char *line; // the last answer, without newline
	size_t room;
};

// The program's path, from the command line of the test.
extern const char *workload_path;

// Starts it with these options, which end with NULL. In stdin mode, waits until it is ready.
void program_start(struct program *p, char *const options[]);
// Sends a request and returns the answer. Fails if the program has exited.
const char *program_ask(struct program *p, const char *request);
// The number after `key=` in the last answer.
unsigned long long program_number(const struct program *p, const char *key);
// Closes the program's input and returns its exit status.
int program_end(struct program *p);
// Runs a start that must fail. Returns its exit status; `text` is what it wrote to stderr.
int program_fails(char *const options[], char *text, size_t size);

#define ANSWER_STARTS(p, request, start)                                                     \
	do {                                                                                 \
		const char *have_ = program_ask(p, request);                                 \
		if (strncmp(have_, start, strlen(start))) {                                  \
			fprintf(stderr, "%s:%d: %s: \"%s\", expected \"%s...\"\n", __FILE__, \
				__LINE__, request, have_, start);                            \
			exit(1);                                                             \
		}                                                                            \
	} while (0)

#endif
