// Asks for each recording by name and prints what the SDK made of its answer,
// the model's name apart.
import { createHash } from 'node:crypto';
const { default: OpenAI } = await import(process.env.OPENAI_SDK);
const client = new OpenAI({ apiKey: process.env.API_KEY, baseURL: process.env.BASE_URL, maxRetries: 0 });

const strip = (o) => {
  if (o && typeof o === 'object') {
    delete o.model;
    if (o.response) delete o.response.model;
  }
  return o;
};

const asks = {
  chat: (model, stream) => client.chat.completions.create({ model, messages: [{ role: 'user', content: 'x' }], stream, ...(stream ? { stream_options: { include_usage: true } } : {}) }),
  completions: (model, stream) => client.completions.create({ model, prompt: 'x', stream, ...(stream ? { stream_options: { include_usage: true } } : {}) }),
  embeddings: (model) => client.embeddings.create({ model, input: 'x', encoding_format: 'float' }),
  responses: (model, stream) => client.responses.create({ model, input: 'x', stream }),
};

const out = {};
for (const [name, op, stream] of JSON.parse(process.env.RECORDINGS)) {
  try {
    const answer = await asks[op](name, stream);
    const parts = [];
    if (stream) {
      for await (const event of answer) parts.push(strip(event));
    } else {
      parts.push(strip(answer));
    }
    out[name] = { parts: parts.length, hash: createHash('sha256').update(JSON.stringify(parts)).digest('hex') };
  } catch (e) {
    out[name] = { failed: e.constructor.name + ': ' + e.message };
  }
}
console.log(JSON.stringify(out));
