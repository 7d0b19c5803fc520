// SPDX-License-Identifier: MIT
#include "start/start.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_PID 4194304

/* They change nothing about the helper. */
static const char *const flags[] = {"--detach",	       "--force",	  "--json",
				    "--leave-running", "--leave-stopped", "--tcp-established",
				    "--tcp-close"};

static bool is_flag(const char *word)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (!strcmp(flags[i], word))
			return true;
	return false;
}

static bool is_number(const char *word)
{
	return *word && !word[strspn(word, "0123456789")];
}

static bool read_pid(const char *word, pid_t *pid)
{
	const long number = strtol(word, NULL, 10);

	if (!is_number(word) || number < 1 || number > LARGEST_PID)
		return false;
	*pid = number;
	return true;
}

/* Returns the number of words that the option and its value take, 0 for one that is not known. */
static int read_option(char *const words[], struct typed *typed, const char **pid)
{
	const char *ignored, *const word = words[0];
	const struct {
		const char *name, **value;
	} options[] = {{"--images-dir", &typed->images_dir},
		       {"--libdir", &typed->libdir},
		       {"--log", &ignored},
		       {"--pid", pid},
		       {"--trace", &ignored},
		       {"--work-dir", &ignored}};
	const size_t length = strcspn(word, "=");

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		if (strlen(options[i].name) != length || strncmp(options[i].name, word, length))
			continue;
		*options[i].value = word[length] ? word + length + 1 : words[1];
		return word[length] ? 1 : words[1] ? 2 : 0;
	}
	return is_flag(word);
}

bool start_read_words(char *const words[], struct typed *typed)
{
	const char *const command = words[0], *pid = NULL;

	if (!command || (strcmp(command, "restore") && strcmp(command, "checkpoint")))
		return false;
	*typed = (struct typed){.is_restore = !strcmp(command, "restore")};
	for (words++; *words;) {
		int taken = 1;

		if (**words == '-')
			taken = read_option(words, typed, &pid);
		else if (!typed->is_restore && !pid && is_number(*words))
			pid = *words;
		else if (!typed->images_dir)
			typed->images_dir = *words;
		else
			return false;
		if (!taken)
			return false;
		words += taken;
	}
	return typed->images_dir && (typed->is_restore ? !pid : pid && read_pid(pid, &typed->pid));
}
