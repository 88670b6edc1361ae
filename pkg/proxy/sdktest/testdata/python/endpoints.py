"""Talks to every endpoint that OpenAI's SDK has a method for, and prints one
JSON object of what it understood."""

import base64
import json
import os

import openai
import pydantic

base, key = os.environ["BASE_URL"], os.environ["API_KEY"]
client = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
result = {}


def scenario(name):
    def run(f):
        try:
            result[name] = f()
        except Exception as e:
            result[name] = {"failed": type(e).__name__, "status": getattr(e, "status_code", None), "message": getattr(e, "message", str(e))}

    return run


class Place(pydantic.BaseModel):
    city: str


@scenario("structured")
def _():
    r = client.chat.completions.parse(model="json", messages=[{"role": "user", "content": "where"}], response_format=Place)
    return r.choices[0].message.parsed.city


@scenario("completion")
def _():
    r = client.completions.create(model="fast", prompt="hi", max_tokens=3)
    return {"object": r.object, "model": r.model, "text": len(r.choices[0].text) > 0, "used": r.usage.completion_tokens}


@scenario("completionStream")
def _():
    models, n = set(), 0
    for c in client.completions.create(model="fast", prompt="hi", max_tokens=3, stream=True):
        models.add(c.model)
        n += 1 if c.choices[0].text else 0
    return {"models": sorted(models), "n": n}


@scenario("embeddings")
def _():
    r = client.embeddings.create(model="fast", input=["a", "b"])
    one = r.data[1].embedding[0]
    return {"model": r.model, "n": len(r.data), "first": "number" if isinstance(one, float) else "?", "size": len(r.data[0].embedding), "used": r.usage.total_tokens > 0}


scenario("embeddingsFloat")(lambda: len(client.embeddings.create(model="fast", input="a", encoding_format="float", dimensions=4).data[0].embedding))
scenario("embeddingsBase64")(
    lambda: len(base64.b64decode(client.embeddings.create(model="fast", input="a", encoding_format="base64", dimensions=4).data[0].embedding))
)


@scenario("response")
def _():
    r = client.responses.create(model="fast", input="hi", max_output_tokens=20)
    return {"model": r.model, "status": r.status, "text": len(r.output_text) > 0, "used": r.usage.output_tokens > 0}


@scenario("responseStream")
def _():
    types = []
    with client.responses.stream(model="fast", input="hi") as stream:
        for e in stream:
            if e.type not in types:
                types.append(e.type)
        last = stream.get_final_response()
    return {"first": types[0], "last": types[-1], "deltas": "response.output_text.delta" in types, "model": last.model, "text": len(last.output_text) > 0}


@scenario("image")
def _():
    r = client.images.generate(model="fast", prompt="a cat", n=2)
    return {"n": len(r.data), "png": base64.b64decode(r.data[0].b64_json)[1:4].decode()}


picture = ("a.png", b"png", "image/png")
sound = ("a.mp3", b"sound")
scenario("imageEdit")(lambda: len(client.images.edit(model="fast", prompt="a hat", image=picture).data))
scenario("imageVariation")(lambda: len(client.images.create_variation(model="fast", image=picture).data))


@scenario("speech")
def _():
    with client.audio.speech.with_streaming_response.create(model="fast", input="hello there", voice="alloy") as r:
        return {"type": r.headers["content-type"], "some": len(r.read()) > 60}


scenario("transcription")(lambda: client.audio.transcriptions.create(model="fast", file=sound).text)
scenario("transcriptionText")(lambda: client.audio.transcriptions.create(model="fast", file=sound, response_format="text"))
scenario("translation")(lambda: client.audio.translations.create(model="fast", file=sound).text)


@scenario("moderation")
def _():
    r = client.moderations.create(model="fast", input="hi")
    return {"model": r.model, "flagged": r.results[0].flagged, "categories": len(r.results[0].categories.model_dump()) > 5}


scenario("model")(lambda: client.models.retrieve("fast").model_dump(exclude_unset=True))
scenario("noModel")(lambda: client.models.retrieve("nobody"))
scenario("noFiles")(lambda: client.files.list())
for status in [400, 401, 403, 404, 422, 429, 500, 503]:
    scenario(f"error{status}")(lambda: client.embeddings.create(model=f"refuse{status}", input="x"))


@scenario("azure")
def _():
    azure = openai.AzureOpenAI(azure_endpoint=base.removesuffix("/v1"), api_key=key, api_version="2024-10-21", azure_deployment="fast", max_retries=0)
    return azure.chat.completions.create(model="fast", messages=[{"role": "user", "content": "hi"}]).model


print(json.dumps(result))
