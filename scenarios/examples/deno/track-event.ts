// track-event: answers at once, and does the work behind the answer.
//
// As in the guide, the only trace of a job is a promise in memory: what the process has
// promised and not done when it is killed is lost, and nobody is told.

import { waitUntil } from "./background.ts";
import { updateUserMetrics } from "./metrics.ts";
import { notifySlack } from "./webhook.ts";

// trackEvent takes {"user_id", "event_type"}. "work_ms" is how long the job's heavy part
// takes (0).
export async function trackEvent(req: Request): Promise<Response> {
  const { user_id, event_type, work_ms = 0 } = await req.json();
  waitUntil(runAnalyticsPipeline(user_id, event_type, work_ms));
  return Response.json({ queued: true });
}

async function runAnalyticsPipeline(user: string, event: string, ms: number): Promise<void> {
  await updateUserMetrics(user, event, ms);
  await notifySlack(`User ${user} triggered ${event}`);
}
