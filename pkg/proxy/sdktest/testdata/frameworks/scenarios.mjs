// Talks to a gateway with the Vercel AI SDK and with LangChain, and prints one
// JSON object of what they understood, one member per scenario.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, streamText, tool } from "ai";
import { HumanMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

const baseURL = process.env.BASE_URL;
const apiKey = process.env.API_KEY;
const result = {};

async function scenario(name, run) {
  try {
    result[name] = await run();
  } catch (e) {
    result[name] = { failed: e.name, message: e.message, status: e.statusCode ?? e.status ?? null, retryable: e.isRetryable ?? null };
  }
}

// The AI SDK, through OpenAI's provider and through the one for compatible gateways.
const providers = {
  openai: createOpenAI({ baseURL, apiKey }).chat,
  compatible: createOpenAICompatible({ name: "llmgw", baseURL, apiKey, includeUsage: true }),
};
const usage = (u) => ({ in: u.inputTokens, out: u.outputTokens, total: u.totalTokens });
const weather = (cities) => tool({
  inputSchema: jsonSchema({ type: "object", properties: { city: { type: "string" } } }),
  execute: async ({ city }) => (cities.push(city), "sunny"),
});
for (const [name, model] of Object.entries(providers)) {
  await scenario(name + "Generate", async () => {
    const r = await generateText({ model: model("fast"), prompt: "hi", maxRetries: 0 });
    return { text: r.text, finish: r.finishReason, usage: usage(r.usage), model: r.response.modelId };
  });
  await scenario(name + "Stream", async () => {
    const r = streamText({ model: model("fast"), prompt: "hi", maxRetries: 0, onError() {} });
    let text = "";
    for await (const part of r.textStream) text += part;
    return { text, finish: await r.finishReason, usage: usage(await r.usage), model: (await r.response).modelId };
  });
  await scenario(name + "Tools", async () => {
    const cities = [];
    const r = streamText({
      model: model("tools"), prompt: "hi", maxRetries: 0, tools: { weather: weather(cities) }, onError() {},
      stopWhen: ({ steps }) => steps.length === 2,
    });
    let text = "";
    for await (const part of r.textStream) text += part;
    return { text, cities };
  });
  await scenario(name + "Unicode", async () => {
    const r = streamText({ model: model("unicode"), prompt: "hi", maxRetries: 0, onError() {} });
    let text = "";
    for await (const part of r.textStream) text += part;
    return text;
  });
  await scenario(name + "RateLimit", () => generateText({ model: model("limited"), prompt: "hi", maxRetries: 0 }));
  await scenario(name + "Retried", async () => (await generateText({ model: model("once"), prompt: "hi", maxRetries: 2 })).text);
  await scenario(name + "Fault", async () => {
    const r = streamText({ model: model("breaks"), prompt: "hi", maxRetries: 0, onError() {} });
    let text = "", error = null;
    for await (const part of r.fullStream) {
      if (part.type === "text-delta") text += part.text;
      if (part.type === "error") error = part.error?.message ?? part.error?.error?.message ?? String(part.error);
    }
    return { text, error };
  });
  await scenario(name + "Aborted", async () => {
    const stop = new AbortController();
    const r = streamText({ model: model("endless"), prompt: "hi", maxRetries: 0, abortSignal: stop.signal, onError() {} });
    let n = 0;
    for await (const _ of r.textStream) if (++n === 3) stop.abort();
    return n >= 3;
  });
}

// LangChain.
const chat = (model, more) => new ChatOpenAI({ model, apiKey, maxRetries: 0, useResponsesApi: false, configuration: { baseURL }, ...more });
await scenario("langchainInvoke", async () => {
  const m = await chat("fast").invoke([new HumanMessage("hi")]);
  return { text: m.content, usage: m.usage_metadata.total_tokens, model: m.response_metadata.model_name };
});
await scenario("langchainStream", async () => {
  let all;
  for await (const chunk of await chat("fast", { streamUsage: true }).stream([new HumanMessage("hi")])) all = all ? all.concat(chunk) : chunk;
  return { text: all.content, usage: all.usage_metadata.total_tokens, finish: all.response_metadata.finish_reason };
});
await scenario("langchainTools", async () => {
  const m = await chat("tools").bindTools([{ type: "function", function: { name: "weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }]).invoke("hi");
  return m.tool_calls.map((c) => [c.name, c.args.city, c.id]);
});
await scenario("langchainRateLimit", () => chat("limited").invoke("hi"));

console.log(JSON.stringify(result));
