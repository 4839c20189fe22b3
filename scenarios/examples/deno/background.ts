// waitUntil on the platform, and where there is none.

interface EdgeRuntimeLike {
  waitUntil(job: Promise<unknown>): void;
}

const pending = new Set<Promise<unknown>>();

// waitUntil lets a job go on behind the answer: by the platform's EdgeRuntime where there
// is one, else by keeping it in a set until it has ended. A job that fails is said on
// stderr; nobody tries it again.
export function waitUntil(job: Promise<unknown>): void {
  const reported = job.catch((error) => console.error(`background job: ${error}`));
  const runtime = (globalThis as { EdgeRuntime?: EdgeRuntimeLike }).EdgeRuntime;
  if (runtime) {
    runtime.waitUntil(reported);
    return;
  }
  const kept = reported.finally(() => pending.delete(kept));
  pending.add(kept);
}

// drained resolves when no job is left, those included that others began meanwhile.
export async function drained(): Promise<void> {
  while (pending.size > 0) await Promise.all(pending);
}
