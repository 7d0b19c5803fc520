# SPDX-License-Identifier: MIT
"""A gRPC server that shares its state with a forked process. A message is text; SERVER_DIR is where its files are."""

import json
import multiprocessing
import os
import sys
import time
from concurrent import futures

import grpc
from shared_state import Member, Shared

SERVER, OTHER = 0, 1
shared = Shared(multiprocessing.get_context("fork"), 2, os.environ["SERVER_DIR"])


def other():
    Member(shared, OTHER, holds_file=True)
    while True:
        time.sleep(60)


multiprocessing.get_context("fork").Process(target=other, daemon=True).start()
member = Member(shared, SERVER)


def count(request, context):
    member.add()
    return str(member.count).encode()


def jump(request, context):
    member.add(1000000)
    return str(member.count).encode()


def check(request, context):
    print("checked", flush=True)
    return json.dumps(member.check(OTHER)).encode()


methods = {name.__name__: grpc.unary_unary_rpc_method_handler(name) for name in (count, jump, check)}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test", methods)])
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
