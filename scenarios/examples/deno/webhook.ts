// notifySlack posts a text as Slack's incoming webhooks take it, by default to
// SLACK_WEBHOOK_URL. Without a URL it posts nothing. An answer other than 2xx is an error.
export async function notifySlack(
  text: string,
  url = Deno.env.get("SLACK_WEBHOOK_URL"),
): Promise<void> {
  if (!url) return;
  const res = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text }),
  });
  await res.body?.cancel();
  if (!res.ok) throw new Error(`the webhook answered ${res.status}`);
}
