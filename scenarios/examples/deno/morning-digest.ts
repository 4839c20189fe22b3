// morning-digest: what cron calls. On the platform pg_cron posts to it; here the process
// may also call it by a schedule of its own. The digest goes to DIGEST_WEBHOOK_URL, or
// else where all messages go.

import { usersWithMetrics } from "./metrics.ts";
import { notifySlack } from "./webhook.ts";

// morningDigest answers {"sent": n}, n being the users that have metrics.
export async function morningDigest(_req: Request): Promise<Response> {
  return Response.json({ sent: await sendDigest() });
}

async function sendDigest(): Promise<number> {
  const users = usersWithMetrics();
  await notifySlack(`Morning digest for ${users} users`, Deno.env.get("DIGEST_WEBHOOK_URL"));
  return users;
}

// scheduleDigest sends the digest by a schedule, and returns what ends that: five fields
// in UTC, which Deno.cron takes (deno run --unstable-cron), or "N seconds", as pg_cron
// has it too, for which a timer does. The empty schedule never fires.
export function scheduleDigest(schedule: string): () => void {
  if (schedule === "") return () => {};
  const seconds = Number(schedule.match(/^([1-9]|[1-5][0-9]) seconds?$/)?.[1] ?? 0);
  if (seconds > 0) return every(seconds * 1000);
  if (!("cron" in Deno)) {
    throw new Error(
      `DIGEST_SCHEDULE "${schedule}" needs deno run --unstable-cron, or say "N seconds"`,
    );
  }
  const stop = new AbortController();
  Deno.cron("morning-digest", schedule, { signal: stop.signal }, async () => {
    await sendDigest();
  });
  return () => stop.abort();
}

// every sends a digest at each multiple of ms since 1970. Each instant is waited for
// anew, so that a late timer does not make the next one later.
function every(ms: number): () => void {
  let timer: ReturnType<typeof setTimeout>;
  let due = Math.ceil(Date.now() / ms) * ms;
  const wait = () => {
    timer = setTimeout(() => {
      sendDigest().catch((error) => console.error(`morning-digest: ${error}`));
      due = Math.max(due + ms, Math.ceil(Date.now() / ms) * ms);
      wait();
    }, due - Date.now());
  };
  wait();
  return () => clearTimeout(timer);
}
