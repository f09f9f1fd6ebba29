// Where the bytes of a stream come from: a fetch whose body never ends, or a WebSocket.

/** There is no such stream now; it may come. */
export class NotLive extends Error {}

const OVER = 1000;
const NOT_FOUND = 4404;
// Why a WebSocket ends; the server's own words follow.
const CLOSES = {
  1001: "the server stops",
  1006: "the connection broke off",
  1008: "the server has ended it",
  1011: "the server has failed",
  1013: "the server cannot serve it now",
};
const WORDS_MAX = 200;

/**
 * Calls `take(bytes)` for what comes, until the stream is over; `signal` ends it early.
 * Throws NotLive, or an Error that says what the network or the server said.
 */
export async function readStream(url, isSocket, signal, take) {
  if (isSocket) await readSocket(url, signal, take);
  else await readBody(url, signal, take);
}

async function readBody(url, signal, take) {
  const answer = await fetch(url, { signal, cache: "no-store" });
  if (!answer.ok) throw await refusal(answer);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}

/** What an answer without a stream says. */
async function refusal(answer) {
  if (answer.status === 404) return new NotLive("not live");
  const words = (await answer.text()).trim().slice(0, WORDS_MAX);
  return new Error(`the server answers ${answer.status}: ${words || answer.statusText}`);
}

function readSocket(url, signal, take) {
  const address = new URL(url);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    let isOpen = false;
    socket.binaryType = "arraybuffer";
    signal.addEventListener("abort", () => {
      reject(signal.reason);
      socket.close();
    });
    socket.addEventListener("open", () => {
      isOpen = true;
    });
    socket.addEventListener("message", ({ data }) => {
      try {
        take(new Uint8Array(data));
      } catch (error) {
        reject(error);
        socket.close();
      }
    });
    socket.addEventListener("close", ({ code, reason }) => {
      if (code === OVER) resolve();
      else if (isOpen) reject(closeError(code, reason));
      else whyRefused(url, signal).then(reject);
    });
  });
}

function closeError(code, reason) {
  if (code === NOT_FOUND) return new NotLive("not live");
  const words = CLOSES[code] ?? `the WebSocket was closed with ${code}`;
  return new Error(reason ? `${words}: ${reason}` : words);
}

/** A browser does not tell why a WebSocket was refused; a plain request is answered. */
async function whyRefused(url, signal) {
  let answer = null;
  try {
    answer = await fetch(url, { method: "HEAD", signal, cache: "no-store" });
  } catch {
    return new Error("the server cannot be reached");
  }
  if (!answer.ok) return refusal(answer);
  return new Error("the WebSocket is refused, by the server or a proxy on the way");
}
