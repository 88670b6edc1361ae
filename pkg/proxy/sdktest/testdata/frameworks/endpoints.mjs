// Every endpoint that the Vercel AI SDK and LangChain have a method for.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateImage, generateObject, generateSpeech, generateText, jsonSchema, streamText, transcribe } from "ai";
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from "@langchain/openai";
import * as ai from "ai";

const baseURL = process.env.BASE_URL;
const apiKey = process.env.API_KEY;
const result = {};

async function scenario(name, run) {
  try {
    result[name] = await run();
  } catch (e) {
    result[name] = { failed: e.name, message: e.message, status: e.statusCode ?? e.status ?? null };
  }
}
const openai = createOpenAI({ baseURL, apiKey });
const compatible = createOpenAICompatible({ name: "llmgw", baseURL, apiKey, includeUsage: true, supportsStructuredOutputs: true });
const schema = jsonSchema({ type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false });

for (const [name, model] of [["openai", openai.chat("json")], ["compatible", compatible("json")]]) {
  await scenario(name + "Object", async () => (await generateObject({ model, schema, prompt: "where", maxRetries: 0 })).object);
}
await scenario("openaiCompletion", async () => (await generateText({ model: openai.completion("fast"), prompt: "hi", maxRetries: 0, maxOutputTokens: 3 })).text.length > 0);
await scenario("compatibleCompletion", async () => {
  let text = "";
  for await (const part of streamText({ model: compatible.completionModel("fast"), prompt: "hi", maxRetries: 0, onError() {} }).textStream) text += part;
  return text.length > 0;
});
await scenario("openaiResponses", async () => {
  const r = await generateText({ model: openai.responses("fast"), prompt: "hi", maxRetries: 0 });
  return { text: r.text.length > 0, model: r.response.modelId, used: r.usage.outputTokens > 0 };
});
await scenario("openaiResponsesStream", async () => {
  const r = streamText({ model: openai.responses("fast"), prompt: "hi", maxRetries: 0, onError() {} });
  let text = "";
  for await (const part of r.textStream) text += part;
  return { text: text.length > 0, finish: await r.finishReason };
});
for (const [name, model] of [["openai", (openai.embedding ?? openai.textEmbeddingModel)("fast")], ["compatible", (compatible.embeddingModel ?? compatible.textEmbeddingModel)("fast")]]) {
  await scenario(name + "Embed", async () => (await embedMany({ model, values: ["a", "b"], maxRetries: 0 })).embeddings.length);
}
const image = generateImage ?? ai.experimental_generateImage;
for (const [name, model] of [["openai", openai.image("fast")], ["compatible", compatible.imageModel("fast")]]) {
  await scenario(name + "Image", async () => (await image({ model, prompt: "a cat", maxRetries: 0 })).image.mediaType);
}
await scenario("openaiSpeech", async () => (await (generateSpeech ?? ai.experimental_generateSpeech)({ model: openai.speech("fast"), text: "hello there", maxRetries: 0 })).audio.uint8Array.length > 60);
await scenario("openaiTranscribe", async () => (await (transcribe ?? ai.experimental_transcribe)({ model: openai.transcription("fast"), audio: Buffer.from("sound"), maxRetries: 0 })).text);

const configuration = { baseURL };
await scenario("langchainStructured", async () =>
  new ChatOpenAI({ model: "json", apiKey, maxRetries: 0, useResponsesApi: false, configuration })
    .withStructuredOutput({ title: "place", type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false }, { method: "jsonSchema" })
    .invoke("where"));
await scenario("langchainResponses", async () => (await new ChatOpenAI({ model: "fast", apiKey, maxRetries: 0, useResponsesApi: true, configuration }).invoke("hi")).text.length > 0);
await scenario("langchainCompletion", async () => (await new OpenAI({ model: "fast", apiKey, maxRetries: 0, configuration }).invoke("hi")).length > 0);
await scenario("langchainEmbeddings", async () => {
  const e = new OpenAIEmbeddings({ model: "fast", apiKey, maxRetries: 0, configuration });
  return [(await e.embedQuery("a")).length, (await e.embedDocuments(["a", "b"])).length];
});
console.log(JSON.stringify(result));
