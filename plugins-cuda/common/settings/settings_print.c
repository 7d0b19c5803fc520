// SPDX-License-Identifier: MIT
/*
 * ccr-settings: the settings as C reads them. Without an argument, prints the
 * table as JSON; with a file name (or "-" for the usual file), loads and checks it.
 */
#include "common/settings/settings.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	struct ccr_settings settings;
	char error[512];

	if (argc < 2) {
		ccr_settings_print_table();
		return 0;
	}
	if (ccr_settings_load(&settings, strcmp(argv[1], "-") ? argv[1] : NULL, error,
			      sizeof(error))) {
		fprintf(stderr, "ccr-settings: %s\n", error);
		return 1;
	}
	return 0;
}
