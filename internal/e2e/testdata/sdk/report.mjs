// What a script is asked, and how it reports.
export const ask = JSON.parse(process.env.SDK_ASK);

// giveUp returns the signal of a caller who gives up 300 ms after chunk number
// ask.abortAt, if that is given, and what is to be told the number of each chunk. No
// clock runs before: how long the connection and the chunks take is the machine's affair.
export function giveUp() {
  const caller = new AbortController();
  const saw = (chunk) => { if (chunk === ask.abortAt) setTimeout(() => caller.abort(), 300); };
  return { signal: caller.signal, saw };
}

// report runs a call, which fills in what it saw, and prints that with the error it
// ended with, if any: the names of its classes that the client exports, outermost
// first.
export async function report(sdk, call) {
  const seen = { text: '', reasoning: '', chunks: 0 };
  const begin = performance.now();
  try {
    await call(seen);
  } catch (error) {
    const classes = [];
    for (let p = Object.getPrototypeOf(error); p && p !== Object.prototype; p = Object.getPrototypeOf(p)) {
      classes.push(p.constructor.name);
    }
    seen.error = { classes, message: String(error.message), status: error.status ?? 0, type: error.error?.error?.type ?? error.type ?? '' };
    seen.error.ofClient = error instanceof sdk.APIError;
  }
  seen.took = performance.now() - begin;
  console.log(JSON.stringify(seen));
}
