// The guide's functions as one server on Deno alone: Deno.serve and what the web
// platform has, nothing remote.
//
//   deno run --allow-net=127.0.0.1 --allow-env main.ts
//
// PORT (8000) is where it listens, on 127.0.0.1. ANTHROPIC_BASE_URL and
// SLACK_WEBHOOK_URL are whom stream-ai and the jobs call; loadgen can stand in for
// both. DIGEST_SCHEDULE makes morning-digest run by itself.

import { drained } from "./background.ts";
import { fetchWithRetryFunction } from "./fetch-with-retry.ts";
import { morningDigest, scheduleDigest } from "./morning-digest.ts";
import { streamAI } from "./stream-ai.ts";
import { trackEvent } from "./track-event.ts";
import { wsRelay } from "./ws-relay.ts";

type EdgeFunction = (req: Request) => Response | Promise<Response>;

const functions: Record<string, EdgeFunction> = {
  "fetch-with-retry": fetchWithRetryFunction,
  "morning-digest": morningDigest,
  "stream-ai": streamAI,
  "track-event": trackEvent,
  "ws-relay": wsRelay,
};

// route calls the function that the path names. What a function throws is a 500, as
// the platform answers it.
async function route(req: Request): Promise<Response> {
  const { pathname } = new URL(req.url);
  if (pathname === "/healthz") return new Response("ok");
  const name = pathname.match(/^\/functions\/v1\/([a-z-]+)$/)?.[1] ?? "";
  if (!Object.hasOwn(functions, name)) {
    return Response.json({ error: "no such function" }, { status: 404 });
  }
  try {
    return await functions[name](req);
  } catch (error) {
    return Response.json({ error: String(error) }, { status: 500 });
  }
}

const stopSchedule = scheduleDigest(Deno.env.get("DIGEST_SCHEDULE") ?? "");
const server = Deno.serve({
  hostname: "127.0.0.1",
  port: Number(Deno.env.get("PORT") ?? "8000"),
}, route);

// In order: no new calls, then what waitUntil still holds. Who kills it with SIGKILL
// loses those jobs.
Deno.addSignalListener("SIGTERM", async () => {
  stopSchedule();
  await Promise.race([server.shutdown(), new Promise((done) => setTimeout(done, 1000))]);
  await drained();
  Deno.exit(0);
});
