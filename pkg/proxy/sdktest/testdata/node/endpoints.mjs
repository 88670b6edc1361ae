// Talks to every endpoint that OpenAI's SDK has a method for, and prints one
// JSON object of what it understood.
import OpenAI, { toFile } from "openai";

const baseURL = process.env.BASE_URL;
const client = new OpenAI({ baseURL, apiKey: process.env.API_KEY, maxRetries: 0 });
const result = {};

async function scenario(name, run) {
  try {
    result[name] = await run();
  } catch (e) {
    result[name] = { failed: e.constructor.name, status: e.status ?? null, message: e.message };
  }
}
const sound = () => toFile(Buffer.from("sound"), "a.mp3");
const picture = () => toFile(Buffer.from("png"), "a.png", { type: "image/png" });
const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };

await scenario("structured", async () => {
  const r = await client.chat.completions.parse({
    model: "json", messages: [{ role: "user", content: "where" }],
    response_format: { type: "json_schema", json_schema: { name: "place", schema, strict: true } },
  });
  return JSON.parse(r.choices[0].message.content).city;
});
await scenario("completion", async () => {
  const r = await client.completions.create({ model: "fast", prompt: "hi", max_tokens: 3 });
  return { object: r.object, model: r.model, text: r.choices[0].text.length > 0, used: r.usage.completion_tokens };
});
await scenario("completionStream", async () => {
  const models = new Set();
  let n = 0;
  for await (const c of await client.completions.create({ model: "fast", prompt: "hi", max_tokens: 3, stream: true })) {
    models.add(c.model);
    n += c.choices[0].text ? 1 : 0;
  }
  return { models: [...models], n };
});
await scenario("embeddings", async () => {
  const r = await client.embeddings.create({ model: "fast", input: ["a", "b"] });
  return { model: r.model, n: r.data.length, first: typeof r.data[1].embedding[0], size: r.data[0].embedding.length, used: r.usage.total_tokens > 0 };
});
await scenario("embeddingsFloat", async () => {
  const r = await client.embeddings.create({ model: "fast", input: "a", encoding_format: "float", dimensions: 4 });
  return r.data[0].embedding.length;
});
await scenario("embeddingsBase64", async () => {
  const r = await client.embeddings.create({ model: "fast", input: "a", encoding_format: "base64", dimensions: 4 });
  return Buffer.from(r.data[0].embedding, "base64").length;
});
await scenario("response", async () => {
  const r = await client.responses.create({ model: "fast", input: "hi", max_output_tokens: 20 });
  return { model: r.model, status: r.status, text: r.output_text.length > 0, used: r.usage.output_tokens > 0 };
});
await scenario("responseStream", async () => {
  const types = new Set();
  const stream = client.responses.stream({ model: "fast", input: "hi" });
  for await (const e of stream) types.add(e.type);
  const last = await stream.finalResponse();
  return { first: [...types][0], last: [...types].at(-1), deltas: types.has("response.output_text.delta"), model: last.model, text: last.output_text.length > 0 };
});
await scenario("image", async () => {
  const r = await client.images.generate({ model: "fast", prompt: "a cat", n: 2 });
  return { n: r.data.length, png: Buffer.from(r.data[0].b64_json, "base64").subarray(1, 4).toString() };
});
await scenario("imageEdit", async () => (await client.images.edit({ model: "fast", prompt: "a hat", image: await picture() })).data.length);
await scenario("imageVariation", async () => (await client.images.createVariation({ model: "fast", image: await picture() })).data.length);
await scenario("speech", async () => {
  const r = await client.audio.speech.create({ model: "fast", input: "hello there", voice: "alloy" });
  return { type: r.headers.get("content-type"), some: (await r.arrayBuffer()).byteLength > 60 };
});
await scenario("transcription", async () => (await client.audio.transcriptions.create({ model: "fast", file: await sound() })).text);
await scenario("transcriptionText", async () => client.audio.transcriptions.create({ model: "fast", file: await sound(), response_format: "text" }));
await scenario("translation", async () => (await client.audio.translations.create({ model: "fast", file: await sound() })).text);
await scenario("moderation", async () => {
  const r = await client.moderations.create({ model: "fast", input: "hi" });
  return { model: r.model, flagged: r.results[0].flagged, categories: Object.keys(r.results[0].categories).length > 5 };
});
await scenario("model", async () => client.models.retrieve("fast"));
await scenario("noModel", () => client.models.retrieve("nobody"));
await scenario("noFiles", () => client.files.list());
for (const status of [400, 401, 403, 404, 422, 429, 500, 503]) {
  await scenario("error" + status, () => client.embeddings.create({ model: "refuse" + status, input: "x" }));
}
await scenario("azure", async () => {
  const { AzureOpenAI } = await import("openai");
  const azure = new AzureOpenAI({ endpoint: baseURL.replace("/v1", ""), apiKey: process.env.API_KEY, apiVersion: "2024-10-21", deployment: "fast", maxRetries: 0 });
  return (await azure.chat.completions.create({ model: "fast", messages: [{ role: "user", content: "hi" }] })).model;
});
console.log(JSON.stringify(result));
