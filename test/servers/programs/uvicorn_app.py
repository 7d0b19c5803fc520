# SPDX-License-Identifier: MIT
"""An ASGI application with device memory. Answers with how often it was asked, and what its device memory holds."""

import asyncio
import ctypes
import hashlib
import json
import os

BYTES = 8 << 20
driver = ctypes.CDLL("libcuda.so.1")
address = ctypes.c_uint64()
count = 0


def check(result):
    assert result == 0, result


def allocate():
    context = ctypes.c_void_p()
    check(driver.cuInit(0))
    check(driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0))
    check(driver.cuCtxSetCurrent(context))
    check(driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(BYTES)))
    check(driver.cuMemcpyHtoD_v2(address, os.urandom(BYTES), ctypes.c_size_t(BYTES)))


def device_sum():
    copy = ctypes.create_string_buffer(BYTES)
    check(driver.cuMemcpyDtoH_v2(copy, address, ctypes.c_size_t(BYTES)))
    return hashlib.sha256(copy.raw).hexdigest()


allocate()


async def app(scope, receive, send):
    global count
    if scope["type"] != "http":
        return
    count += 1
    await asyncio.sleep(0.001)  # the loop's timers work
    loop = type(asyncio.get_running_loop()).__module__
    body = json.dumps({"count": count, "state": f"{loop} {device_sum()}"}).encode()
    headers = [(b"connection", b"close"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
