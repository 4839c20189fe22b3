// stream-ai: asks an LLM for a stream and pipes it to the client, byte for byte.
//
// As in the guide, whatever the upstream answers becomes 200 and an event stream: a
// client sees an error of the upstream as a stream without a single event.

export async function streamAI(req: Request): Promise<Response> {
  const { prompt } = await req.json();
  const base = Deno.env.get("ANTHROPIC_BASE_URL") ?? "https://api.anthropic.com";
  const upstream = await fetch(`${base}/v1/messages`, {
    method: "POST",
    headers: {
      "x-api-key": Deno.env.get("ANTHROPIC_API_KEY") ?? "",
      "anthropic-version": "2023-06-01",
      "content-type": "application/json",
    },
    body: JSON.stringify({
      model: "claude-haiku-4-5",
      max_tokens: 1024,
      stream: true,
      messages: [{ role: "user", content: prompt }],
    }),
  });
  return new Response(upstream.body, {
    headers: {
      "content-type": "text/event-stream",
      "cache-control": "no-cache",
      "access-control-allow-origin": "*",
    },
  });
}
