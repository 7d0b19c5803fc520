# SPDX-License-Identifier: MIT
"""An ASGI application whose engine is another process, as inference servers have it: spawned or forked, asked through ZeroMQ.

ENGINE is `spawn` or `fork`, SERVER_DIR where its files and its socket are. The engine has the device memory and counts each
request as the application does. A forked one has a lower pid than the application, as happens once pids have wrapped.
"""

import asyncio
import json
import multiprocessing
import os

import zmq
import zmq.asyncio
from device_memory import DeviceMemory
from shared_state import Member, Shared

APPLICATION, ENGINE = 0, 1
directory = os.environ["SERVER_DIR"]
address = f"ipc://{directory}/engine.sock"


def engine(shared):
    member = Member(shared, ENGINE, holds_file=True)
    memory = DeviceMemory()
    socket = zmq.Context().socket(zmq.ROUTER)
    socket.bind(address)
    while True:
        *envelope, word = socket.recv_multipart()
        if word == b"check":
            answer = {**member.check(APPLICATION), "device": memory.sum(), "engine": member.count}
            socket.send_multipart([*envelope, json.dumps(answer).encode()])
        else:
            member.add(int(word))
            socket.send_multipart([*envelope, str(member.count).encode()])


class Application:
    def __init__(self):
        context = multiprocessing.get_context(os.environ["ENGINE"])
        self.shared = Shared(context, 2, directory)
        self.process = context.Process(target=engine, args=(self.shared,), daemon=True)
        if os.environ["ENGINE"] == "fork":
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write("300")
        self.process.start()
        self.member = Member(self.shared, APPLICATION)
        self.context = zmq.asyncio.Context()
        self.waiting = {}
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.connect(address)
        self.reader = asyncio.create_task(self.read())
        self.wakeups = 0
        self.timer = asyncio.create_task(self.wake_up())

    async def read(self):
        while True:
            number, body = await self.socket.recv_multipart()
            self.waiting.pop(number).set_result(body)

    async def wake_up(self):
        while True:
            await asyncio.sleep(0.005)
            self.wakeups += 1

    async def ask_engine(self, word):
        number = os.urandom(8)
        self.waiting[number] = asyncio.get_running_loop().create_future()
        future = self.waiting[number]
        await self.socket.send_multipart([number, word])
        return await asyncio.wait_for(future, 20)

    async def count(self, number):
        self.member.add(number)
        await self.ask_engine(str(number).encode())
        return {"count": self.member.count}

    async def check(self):
        of_engine = json.loads(await self.ask_engine(b"check"))
        wakeups = self.wakeups
        await asyncio.sleep(0.05)
        own = await asyncio.to_thread(self.member.check, ENGINE)
        print("checked", flush=True)
        agree = [own["agrees"], of_engine["agrees"], self.member.count == of_engine["engine"]]
        return {
            **{name: own[name] and of_engine[name] for name in own},
            "count": self.member.count,
            "agrees": all(agree),
            "loopTimers": self.wakeups > wakeups,
            "loop": type(asyncio.get_running_loop()).__module__,
            "device": of_engine["device"],
            "lowPid": os.environ["ENGINE"] == "spawn" or self.process.pid < os.getpid(),
        }


application = None


async def app(scope, receive, send):
    global application
    if scope["type"] == "lifespan":
        await receive()
        application = Application()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        return await send({"type": "lifespan.shutdown.complete"})
    path = scope["path"]
    answer = await application.check() if path == "/check" else await application.count(1000000 if path == "/jump" else 1)
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
