// fetch-with-retry: an upstream, called again with growing pauses.
//
// As in the guide: only a status of 500 and above is tried again, so a 429 is not; a
// Retry-After is not read; an error of the network is not caught and ends it at once;
// and the jitter, up to 1 s, is added to 1 s, 2 s, …, so that nobody comes back within
// the first second and everybody within the one after it.

async function fetchWithRetry(url: string, init: RequestInit, maxAttempts = 3): Promise<Response> {
  for (let i = 0; i < maxAttempts; i++) {
    const res = await fetch(url, init);
    if (res.ok || res.status < 500) return res;
    await res.body?.cancel();
    if (i < maxAttempts - 1) {
      const jitter = Math.random() * 1000;
      await new Promise((done) => setTimeout(done, 2 ** i * 1000 + jitter));
    }
  }
  throw new Error(`All ${maxAttempts} attempts failed for ${url}`);
}

// fetchWithRetryFunction takes {"url", "method", "headers", "body"}, all but the first
// optional, and answers with the upstream's status and body. Whom it may call is up to
// --allow-net.
export async function fetchWithRetryFunction(req: Request): Promise<Response> {
  const { url, method = "GET", headers = {}, body } = await req.json();
  const res = await fetchWithRetry(url, { method, headers, body });
  return new Response(res.body, {
    status: res.status,
    headers: { "content-type": res.headers.get("content-type") ?? "text/plain" },
  });
}
