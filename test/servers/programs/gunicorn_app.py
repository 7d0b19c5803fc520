# SPDX-License-Identifier: MIT
"""A WSGI application that gunicorn preloads: two workers share what its first process has made, one of them holds a lock."""

import json
import multiprocessing
import os

from shared_state import Member, Shared

WORKERS = 2
context = multiprocessing.get_context("fork")
shared = Shared(context, WORKERS, os.environ["SERVER_DIR"])
worker_number = context.Value("i", 0)
member = None


def post_fork(server, worker):
    """gunicorn calls it in each new worker."""
    global member
    with worker_number.get_lock():
        index = worker_number.value
        worker_number.value += 1
    member = Member(shared, index, holds_file=index == 0)


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/check":
        answer = member.check(1 - member.index)
        print("checked", flush=True)
    else:
        member.add(1000000 if path == "/jump" else 1)
        answer = {"count": member.count}
    body = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
