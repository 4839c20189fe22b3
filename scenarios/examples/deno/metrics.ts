// Stands in for the database of the guide: a counter for each user and event, in this
// process.

const counts = new Map<string, number>();

// updateUserMetrics is the guide's rpc("update_user_metrics"). It takes as long as the
// caller says: aggregation, for which a real project would use its database.
export async function updateUserMetrics(user: string, event: string, ms: number): Promise<void> {
  await new Promise((done) => setTimeout(done, ms));
  const key = JSON.stringify([user, event]);
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

// usersWithMetrics is how many users have any.
export function usersWithMetrics(): number {
  return new Set([...counts.keys()].map((key) => JSON.parse(key)[0])).size;
}
