# SPDX-License-Identifier: MIT
"""Programs that run with and without the interceptor and are asked alternately, and statistics of their pairs."""

import json
import os
import random
import statistics
import subprocess

RESAMPLES = 2000


class Asked:
    """A running program that answers each line with a line of JSON. `preload` is the interceptor, or None."""

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
        """Waits for the first line, and checks that the interceptor is loaded if and only if it should be."""
        self.line()
        with open(f"/proc/{self.process.pid}/maps", encoding="utf-8") as maps:
            text = maps.read()
        self.is_software = "/softcuda/" in text
        if ("libcuda_intercept.so" in text) != bool(self.preload):
            raise SystemExit(f"the interceptor is {'not ' if self.preload else ''}loaded in {self.process.args[0]}")

    def line(self):
        text = self.process.stdout.readline()
        if not text:
            raise SystemExit(f"{self.process.args[0]} exited with status {self.process.wait()}")
        return json.loads(text)

    def ask(self, question=""):
        self.process.stdin.write(f"{question}\n")
        self.process.stdin.flush()
        return self.line()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def interval(medians):
    """A 95 % bootstrap interval of the median over couples of processes; None for fewer than three couples."""
    if len(medians) < 3:
        return None
    draw = random.Random(1)
    resampled = sorted(
        statistics.median(draw.choices(medians, k=len(medians))) for _ in range(RESAMPLES)
    )
    return [resampled[RESAMPLES * 25 // 1000], resampled[RESAMPLES * 975 // 1000]]
