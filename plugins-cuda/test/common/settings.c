// SPDX-License-Identifier: MIT
/*
 * Settings: defaults, precedence, and errors that name the key, the value and
 * the accepted values.
 */
#include "common/settings/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/check.h"

static char path[] = "/tmp/ccr-settings-XXXXXX";
static char error[512];

static int load(const char *content, struct ccr_settings *out)
{
	FILE *file = fopen(path, "w");

	fputs(content, file);
	fclose(file);
	error[0] = '\0';
	return ccr_settings_load(out, path, error, sizeof(error));
}

static void test_defaults(void)
{
	struct ccr_settings s;

	CHECK(load("# nothing\n\n", &s) == 0);
	CHECK(s.streams == 8 && s.chunk_mb == 4 && s.parallel_restore == 1 && s.context_pool == 1);
	CHECK(s.lock_timeout_ms == 10000 && s.verify == 1 && s.remap_min_mb == 1);
	CHECK(s.intercept == (CCR_INTERCEPT_MEMORY | CCR_INTERCEPT_MEMCPY));
	CHECK(s.handover == CCR_HANDOVER_AUTO && s.io == CCR_IO_AUTO);
	CHECK(!strcmp(s.run_dir, "/run/criu-cuda") && !s.driver[0] && !s.device_map[0]);
}

static void test_file_and_environment(void)
{
	struct ccr_settings s;

	CHECK(load("CRIU_CUDA_STREAMS = 16\nCRIU_CUDA_HANDOVER=map\n CRIU_CUDA_IO\t= direct \n",
		   &s) == 0);
	CHECK(s.streams == 16 && s.handover == CCR_HANDOVER_MAP && s.io == CCR_IO_DIRECT);
	setenv("CRIU_CUDA_STREAMS", "32", 1);
	setenv("CRIU_CUDA_INTERCEPT", "off", 1);
	CHECK(load("CRIU_CUDA_STREAMS = 16\n", &s) == 0);
	CHECK(s.streams == 32 && s.intercept == 0);
	setenv("CRIU_CUDA_INTERCEPT", "memcpy", 1);
	CHECK(load("", &s) == 0 && s.intercept == CCR_INTERCEPT_MEMCPY);
	setenv("CRIU_CUDA_STREAMS", "33", 1);
	CHECK(load("", &s) != 0);
	CHECK(strstr(error, "environment") && strstr(error, "CRIU_CUDA_STREAMS") &&
	      strstr(error, "\"33\"") && strstr(error, "1-32"));
	unsetenv("CRIU_CUDA_STREAMS");
	unsetenv("CRIU_CUDA_INTERCEPT");
}

static void test_bad_lines(void)
{
	static const struct {
		const char *content, *key, *value, *accepted;
	} cases[] = {
		{"CRIU_CUDA_STREAMS = 0\n", "CRIU_CUDA_STREAMS", "\"0\"", "1-32"},
		{"CRIU_CUDA_STREAMS = 8x\n", "CRIU_CUDA_STREAMS", "\"8x\"", "1-32"},
		{"CRIU_CUDA_STREAMS = \n", "CRIU_CUDA_STREAMS", "\"\"", "1-32"},
		{"CRIU_CUDA_CHUNK_MB = 99999999999999999999\n", "CRIU_CUDA_CHUNK_MB", "9999",
		 "1-512"},
		{"CRIU_CUDA_HANDOVER = give\n", "CRIU_CUDA_HANDOVER", "\"give\"", "auto|adopt|map"},
		{"CRIU_CUDA_INTERCEPT = memory,\n", "CRIU_CUDA_INTERCEPT", "memory,",
		 "memory|memcpy"},
		{"CRIU_CUDA_RUN_DIR = here\n", "CRIU_CUDA_RUN_DIR", "here", "absolute"},
		{"\nCRIU_CUDA_STREEMS = 8\n", ":2:", "CRIU_CUDA_STREEMS", "accepted"},
		{"CRIU_CUDA_STREAMS\n", ":1:", "CRIU_CUDA_STREAMS", "key = value"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ccr_settings s;

		CHECK(load(cases[i].content, &s) != 0);
		if (!strstr(error, cases[i].key) || !strstr(error, cases[i].value) ||
		    !strstr(error, cases[i].accepted)) {
			printf("case %zu: \"%s\" does not name %s, %s and %s\n", i, error,
			       cases[i].key, cases[i].value, cases[i].accepted);
			failures++;
		}
	}
}

static void test_missing_file(void)
{
	struct ccr_settings s;

	CHECK(ccr_settings_load(&s, "/nonexistent/cuda.conf", error, sizeof(error)) != 0);
	CHECK(strstr(error, "/nonexistent/cuda.conf"));
	unsetenv("CRIU_CUDA_CONFIG");
	setenv("CRIU_CUDA_CONFIG", path, 1);
	CHECK(load("CRIU_CUDA_VERIFY = 0\n", &s) == 0);
	CHECK(ccr_settings_load(&s, NULL, error, sizeof(error)) == 0 && s.verify == 0);
	unlink(path);
	CHECK(ccr_settings_load(&s, NULL, error, sizeof(error)) != 0);
}

int main(void)
{
	close(mkstemp(path));
	test_defaults();
	test_file_and_environment();
	test_bad_lines();
	test_missing_file();
	unlink(path);
	return failures ? 1 : 0;
}
