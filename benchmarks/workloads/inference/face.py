# SPDX-License-Identifier: MIT
"""The HTTP API of an inference server, like OpenAI's: GET /health, GET /v1/models, POST /v1/completions.

There is no tokenizer: a prompt is a list of token ids, or text whose UTF-8 bytes are the ids; the text of a token is
its id after a space. The engine has `model_id`, `vocab_size`, `max_len` and `generate(prompt, max_tokens, temperature,
seed)`, which yields token ids and runs in another thread, one request at a time.
"""

import asyncio
import concurrent.futures
import itertools
import json
import time

from aiohttp import web

DONE = object()


class BadRequest(Exception):
    pass


def number_of(body, name, default, low, high, kind=int):
    """Returns a field of the request after checking its limits."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not low <= value <= high:
        raise BadRequest(f"{name} must be a number from {low} to {high}")
    return kind(value)


def prompt_ids(prompt, vocab_size):
    ids = list(prompt.encode()) if isinstance(prompt, str) else prompt
    if not isinstance(ids, list) or not ids:
        raise BadRequest("prompt must be a text or a list of token ids, and not empty")
    if not all(type(one) is int and 0 <= one < vocab_size for one in ids):
        raise BadRequest(f"token ids must be whole numbers from 0 to {vocab_size - 1}")
    return ids


def parse_request(body, engine):
    """Returns the arguments of generate and whether to stream; raises BadRequest."""
    if not isinstance(body, dict):
        raise BadRequest("the request must be a JSON object")
    if body.get("model", engine.model_id) != engine.model_id:
        raise BadRequest(f"there is no model {body['model']}, only {engine.model_id}")
    if not isinstance(body.get("stream", False), bool):
        raise BadRequest("stream must be true or false")
    prompt = prompt_ids(body.get("prompt"), engine.vocab_size)
    room = engine.max_len - len(prompt)
    if room < 1:
        raise BadRequest(f"the prompt has {len(prompt)} tokens; prompt and answer have room for {engine.max_len}")
    arguments = {
        "prompt": prompt,
        "max_tokens": number_of(body, "max_tokens", min(16, room), 1, room),
        "temperature": number_of(body, "temperature", 1.0, 0, 2, float),
        "seed": number_of(body, "seed", 0, 0, 2**63 - 1),
    }
    return arguments, body.get("stream", False)


class Face:
    def __init__(self, engine):
        self.engine = engine
        self._turn = asyncio.Lock()
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._numbers = itertools.count(1)

    async def health(self, _request):
        return web.Response()

    async def models(self, _request):
        model = {"id": self.engine.model_id, "object": "model", "max_model_len": self.engine.max_len}
        return web.json_response({"object": "list", "data": [model]})

    async def completions(self, request):
        try:
            arguments, streams = parse_request(await request.json(), self.engine)
        except (BadRequest, json.JSONDecodeError, UnicodeDecodeError) as error:
            about = {"message": str(error), "type": "invalid_request_error"}
            return web.json_response({"error": about}, status=400)
        async with self._turn:
            return await (self._stream if streams else self._whole)(request, arguments)

    async def _tokens(self, arguments):
        """Yields each token id, and whether it is the last one."""
        loop, tokens = asyncio.get_running_loop(), self.engine.generate(**arguments)
        for index in itertools.count(1):
            token = await loop.run_in_executor(self._thread, next, tokens, DONE)
            if token is DONE:
                return
            yield token, index == arguments["max_tokens"]

    def _answer(self, number, text, is_last):
        return {
            "id": f"cmpl-{number}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": self.engine.model_id,
            "choices": [{"index": 0, "text": text, "finish_reason": "length" if is_last else None}],
        }

    async def _whole(self, _request, arguments):
        tokens = [token async for token, _ in self._tokens(arguments)]
        used = {"prompt_tokens": len(arguments["prompt"]), "completion_tokens": len(tokens)}
        usage = {**used, "total_tokens": sum(used.values())}
        text = "".join(f" {token}" for token in tokens)
        return web.json_response({**self._answer(next(self._numbers), text, True), "usage": usage})

    async def _stream(self, request, arguments):
        number = next(self._numbers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for token, is_last in self._tokens(arguments):
            piece = json.dumps(self._answer(number, f" {token}", is_last))
            await response.write(f"data: {piece}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


def serve(engine, host, port):
    """Answers until SIGTERM or SIGINT. Uses asyncio's selector, without io_uring."""

    async def application():
        face = Face(engine)
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", face.health),
                web.get("/v1/models", face.models),
                web.post("/v1/completions", face.completions),
            ]
        )
        return app

    web.run_app(application(), host=host, port=port, print=None, access_log=None, loop=asyncio.SelectorEventLoop())
