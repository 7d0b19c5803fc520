# SPDX-License-Identifier: MIT
"""Programs that are asked in turn, with the interceptor and without it, and what their pairs say."""

import json
import os
import random
import statistics
import subprocess

RESAMPLES = 2000


class Asked:
    """A running program that answers a line of JSON to each line, with the library preloaded or without."""

    def __init__(self, program, preload, settings=None):
        env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        env.update(settings or {})
        if preload:
            env["LD_PRELOAD"] = preload
        self.process = subprocess.Popen(
            program, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.preload = preload
        self.is_software = False

    def ready(self):
        """Waits for its first line, and looks whether it runs with the library as it should."""
        self.line()
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as maps:
            text = maps.read()
        self.is_software = "/softcuda/" in text
        if ("libcuda_intercept.so" in text) != bool(self.preload):
            raise SystemExit(f"the interceptor is {'not ' if self.preload else ''}in {self.process.args[0]}")

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise SystemExit(f"{self.process.args[0]} ended with status {self.process.wait()}")
        return json.loads(text)

    def ask(self, question=""):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self.line()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def interval(medians):
    """A 95 % bootstrap interval of the median of what each couple of processes gave; None for fewer than three."""
    if len(medians) < 3:
        return None
    draw = random.Random(1)
    resampled = sorted(
        statistics.median(draw.choices(medians, k=len(medians))) for _ in range(RESAMPLES)
    )
    return [resampled[RESAMPLES * 25 // 1000], resampled[RESAMPLES * 975 // 1000]]
