"""Talks to a gateway with OpenAI's SDK and prints one JSON object of what it
got, one member per scenario."""

import asyncio
import json
import os

import openai

base, key = os.environ["BASE_URL"], os.environ["API_KEY"]
client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
messages = [{"role": "user", "content": "hi"}]
result = {}


def failure(e):
    response = getattr(e, "response", None)
    return {
        "failed": type(e).__name__,
        "message": getattr(e, "message", str(e)),
        "status": getattr(e, "status_code", None),
        "code": getattr(e, "code", None),
        "type": getattr(e, "type", None),
        "param": getattr(e, "param", None),
        "retryAfter": response.headers.get("retry-after") if response is not None else None,
    }


def scenario(name):
    def run(f):
        try:
            result[name] = f()
        except Exception as e:
            result[name] = failure(e)

    return run


class Ear:
    def __init__(self):
        self.got = {"text": "", "models": [], "usage": None, "empty": 0, "finish": None, "chunks": 0}

    def hear(self, chunk):
        got = self.got
        got["chunks"] += 1
        if chunk.model not in got["models"]:
            got["models"].append(chunk.model)
        if chunk.usage:
            got["usage"] = chunk.usage.model_dump(exclude_unset=True)
        if not chunk.choices:
            got["empty"] += 1
        for c in chunk.choices:
            got["text"] += c.delta.content or ""
            got["finish"] = c.finish_reason or got["finish"]


def listen(stream):
    ear = Ear()
    for chunk in stream:
        ear.hear(chunk)
    return ear.got


@scenario("complete")
def _():
    raw = client.chat.completions.with_raw_response.create(model="fast", messages=messages)
    data = raw.parse()
    choice = data.choices[0]
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "model": data.model,
        "usage": data.usage.model_dump(exclude_unset=True),
        "call": bool(raw.headers.get("x-litellm-call-id")),
    }


scenario("stream")(lambda: listen(client.chat.completions.create(model="fast", messages=messages, stream=True)))
scenario("streamUsage")(
    lambda: listen(
        client.chat.completions.create(model="fast", messages=messages, stream=True, stream_options={"include_usage": True})
    )
)

tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]


def calls(data):
    choice = data.choices[0]
    return {
        "finish": choice.finish_reason,
        "calls": [
            {"id": c.id, "type": c.type, "function": {"name": c.function.name, "arguments": c.function.arguments}}
            for c in choice.message.tool_calls
        ],
    }


scenario("tools")(lambda: calls(client.chat.completions.create(model="tools", messages=messages, tools=tools)))


@scenario("toolsStream")
def _():
    with client.chat.completions.stream(model="tools", messages=messages, tools=tools) as stream:
        for _ in stream:
            pass
        return calls(stream.get_final_completion())


@scenario("async")
def _():
    async def run():
        async with openai.AsyncOpenAI(base_url=base, api_key=key, max_retries=0) as c:
            ear = Ear()
            async for chunk in await c.chat.completions.create(model="fast", messages=messages, stream=True):
                ear.hear(chunk)
            return ear.got

    return asyncio.run(run())


scenario("models")(lambda: sorted(m.id for m in client.models.list().data))
scenario("rateLimit")(lambda: client.chat.completions.create(model="limited", messages=messages))
scenario("rateLimitStream")(lambda: client.chat.completions.create(model="limited", messages=messages, stream=True))
scenario("badRequest")(lambda: client.chat.completions.create(model="picky", messages=messages))
scenario("unknownModel")(lambda: client.chat.completions.create(model="nobody", messages=messages))
scenario("wrongKey")(
    lambda: openai.OpenAI(base_url=base, api_key="sk-wrong", max_retries=0).chat.completions.create(model="fast", messages=messages)
)
scenario("faultWithin")(lambda: listen(client.chat.completions.create(model="breaks", messages=messages, stream=True)))
scenario("truncated")(lambda: listen(client.chat.completions.create(model="cut", messages=messages, stream=True)))
scenario("unicode")(lambda: listen(client.chat.completions.create(model="unicode", messages=messages, stream=True))["text"])
scenario("retried")(
    lambda: openai.OpenAI(base_url=base, api_key=key, max_retries=2)
    .chat.completions.create(model="once", messages=messages)
    .choices[0]
    .message.content
)


@scenario("aborted")
def _():
    n = 0
    with client.chat.completions.create(model="endless", messages=messages, stream=True) as stream:
        for _ in stream:
            n += 1
            if n == 3:
                break
    return n


print(json.dumps(result))
