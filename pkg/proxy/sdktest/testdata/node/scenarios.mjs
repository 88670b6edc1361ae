// Talks to a gateway with OpenAI's SDK and prints one JSON object of what it
// got, one member per scenario.
import OpenAI from "openai";

const baseURL = process.env.BASE_URL;
const client = new OpenAI({ baseURL, apiKey: process.env.API_KEY, maxRetries: 0 });
const messages = [{ role: "user", content: "hi" }];
const result = {};

async function scenario(name, run) {
  try {
    result[name] = await run();
  } catch (e) {
    result[name] = {
      failed: e.constructor.name,
      message: e.message,
      status: e.status ?? null,
      code: e.code ?? null,
      type: e.type ?? null,
      param: e.param ?? null,
      retryAfter: e.headers?.get?.("retry-after") ?? null,
    };
  }
}

const listen = async (stream) => {
  const got = { text: "", models: new Set(), usage: null, empty: 0, finish: null, chunks: 0 };
  for await (const chunk of stream) {
    got.chunks++;
    got.models.add(chunk.model);
    if (chunk.usage) got.usage = chunk.usage;
    if (chunk.choices.length === 0) got.empty++;
    for (const c of chunk.choices) {
      got.text += c.delta.content ?? "";
      got.finish = c.finish_reason ?? got.finish;
    }
  }
  return { ...got, models: [...got.models] };
};

await scenario("complete", async () => {
  const { data, response } = await client.chat.completions.create({ model: "fast", messages }).withResponse();
  return {
    text: data.choices[0].message.content,
    finish: data.choices[0].finish_reason,
    model: data.model,
    usage: data.usage,
    call: Boolean(response.headers.get("x-litellm-call-id")),
  };
});
await scenario("stream", async () => listen(await client.chat.completions.create({ model: "fast", messages, stream: true })));
await scenario("streamUsage", async () =>
  listen(await client.chat.completions.create({ model: "fast", messages, stream: true, stream_options: { include_usage: true } })));

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
await scenario("tools", async () => {
  const data = await client.chat.completions.create({ model: "tools", messages, tools });
  return { finish: data.choices[0].finish_reason, calls: data.choices[0].message.tool_calls };
});
await scenario("toolsStream", async () => {
  const data = await client.chat.completions.stream({ model: "tools", messages, tools }).finalChatCompletion();
  return { finish: data.choices[0].finish_reason, calls: data.choices[0].message.tool_calls };
});
await scenario("runTools", async () => {
  const cities = [];
  const runner = client.chat.completions.runTools({
    model: "tools", messages, stream: true,
    tools: [{ type: "function", function: { name: "weather", parse: JSON.parse, function: ({ city }) => (cities.push(city), "sunny"), parameters: { type: "object", properties: {} } } }],
  });
  return { text: await runner.finalContent(), cities };
});
await scenario("models", async () => (await client.models.list()).data.map((m) => m.id).sort());

await scenario("rateLimit", () => client.chat.completions.create({ model: "limited", messages }));
await scenario("rateLimitStream", () => client.chat.completions.create({ model: "limited", messages, stream: true }));
await scenario("badRequest", () => client.chat.completions.create({ model: "picky", messages }));
await scenario("unknownModel", () => client.chat.completions.create({ model: "nobody", messages }));
await scenario("wrongKey", () => new OpenAI({ baseURL, apiKey: "sk-wrong", maxRetries: 0 }).chat.completions.create({ model: "fast", messages }));
await scenario("faultWithin", async () => listen(await client.chat.completions.create({ model: "breaks", messages, stream: true })));
await scenario("truncated", async () => listen(await client.chat.completions.create({ model: "cut", messages, stream: true })));
await scenario("unicode", async () => (await listen(await client.chat.completions.create({ model: "unicode", messages, stream: true }))).text);
await scenario("retried", async () => {
  const patient = new OpenAI({ baseURL, apiKey: process.env.API_KEY, maxRetries: 2 });
  return (await patient.chat.completions.create({ model: "once", messages })).choices[0].message.content;
});
await scenario("aborted", async () => {
  const stream = await client.chat.completions.create({ model: "endless", messages, stream: true });
  let n = 0;
  for await (const _ of stream) if (++n === 3) break;
  return n;
});
console.log(JSON.stringify(result));
