// Where the bytes of a stream come from: a fetch whose body never ends, or a WebSocket.

/** There is no such stream now; it may come. */
export class NotLive extends Error {}

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
  if (answer.status === 404) throw new NotLive("not live");
  if (!answer.ok) throw new Error(`the server answers ${answer.status} ${answer.statusText}`);
  const reader = answer.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    take(value);
  }
}

function readSocket(url, signal, take) {
  const address = new URL(url);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    let isLive = false;
    socket.binaryType = "arraybuffer";
    signal.addEventListener("abort", () => socket.close());
    socket.addEventListener("message", ({ data }) => {
      isLive = true;
      try {
        take(new Uint8Array(data));
      } catch (error) {
        reject(error);
        socket.close();
      }
    });
    // A browser does not tell why a WebSocket was refused; most often it is a 404.
    socket.addEventListener("close", () => (isLive ? resolve() : reject(new NotLive("not live"))));
  });
}
