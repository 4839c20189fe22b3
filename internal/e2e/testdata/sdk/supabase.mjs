// Calls a function through supabase-js and prints one line of JSON. A function that
// streams is read to its end, as the client hands its body over.
import { createClient } from '@supabase/supabase-js';
import { ask, report } from './report.mjs';

// The client wants a WebSocket for its realtime part, which is not used here.
const supabase = createClient(ask.url, ask.key, { realtime: { transport: class {} }, auth: { persistSession: false } });
await report({ APIError: Error }, async (seen) => {
  const { data, error } = await supabase.functions.invoke(ask.function, { body: ask.body, headers: ask.headers });
  if (error) {
    seen.status = error.context?.status ?? 0;
    throw error;
  }
  if (!(data instanceof Response)) {
    seen.data = data;
    return;
  }
  seen.status = data.status;
  for await (const piece of data.body.pipeThrough(new TextDecoderStream())) {
    seen.text += piece;
    seen.chunks++;
  }
});
