// Calls the Messages API through the official client, as told by the environment,
// and prints one line of JSON: what came, or the error and when.
import Anthropic from '@anthropic-ai/sdk';
import { ask, giveUp, report } from './report.mjs';

const { headers, maxRetries, timeout } = ask;
const client = new Anthropic({ apiKey: 'any', baseURL: ask.url, maxRetries, timeout, logLevel: 'off' });
await report(Anthropic, async (seen) => {
  const request = { model: 'claude-haiku-4-5', max_tokens: 1024, messages: [{ role: 'user', content: 'How late is it?' }] };
  if (ask.whole) {
    const message = await client.messages.create(request, { headers });
    seen.text = message.content.map((block) => block.text).join('');
    return;
  }
  const { signal, saw } = giveUp();
  const stream = client.messages.stream(request, { headers, signal });
  stream.on('text', (text) => { seen.text += text; saw(++seen.chunks); });
  stream.on('thinking', (text) => { seen.reasoning += text; });
  const message = await stream.finalMessage();
  seen.stop = message.stop_reason;
  seen.input = message.usage.input_tokens;
  seen.output = message.usage.output_tokens;
  seen.blocks = message.content.map((block) => block.type);
});
