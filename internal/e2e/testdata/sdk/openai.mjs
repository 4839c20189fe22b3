// Calls chat completions through the official client, as told by the environment,
// and prints one line of JSON: what came, or the error and when.
import OpenAI from 'openai';
import { ask, giveUp, report } from './report.mjs';

const { headers, maxRetries, timeout } = ask;
const client = new OpenAI({ apiKey: 'any', baseURL: ask.url + '/v1', maxRetries, timeout, logLevel: 'off' });
await report(OpenAI, async (seen) => {
  const request = { model: 'gpt-5-mini', max_completion_tokens: 1024, messages: [{ role: 'user', content: 'How late is it?' }] };
  if (ask.whole) {
    const completion = await client.chat.completions.create(request, { headers });
    seen.text = completion.choices[0].message.content;
    return;
  }
  const { signal, saw } = giveUp();
  const stream = await client.chat.completions.create(
    { ...request, stream: true, stream_options: { include_usage: true } },
    { headers, signal },
  );
  for await (const chunk of stream) {
    if (chunk.usage) {
      seen.input = chunk.usage.prompt_tokens;
      seen.output = chunk.usage.completion_tokens;
      if (chunk.choices.length) throw new Error('usage beside a choice');
    }
    const choice = chunk.choices[0];
    if (!choice) continue;
    if (choice.delta.role) seen.role = choice.delta.role;
    if (choice.delta.content) { seen.text += choice.delta.content; saw(++seen.chunks); }
    if (choice.delta.reasoning_content) seen.reasoning += choice.delta.reasoning_content;
    if (choice.finish_reason) seen.stop = choice.finish_reason;
  }
});
