// Asking the JSON API. The token, where one is needed, is kept until the tab is closed.

const KEY = "tailwater-token";
const TIMEOUT_MS = 5000;

/** The API wants a token, or another one. */
export class TokenWanted extends Error {}

export function setToken(token) {
  sessionStorage.setItem(KEY, token);
}

/** What `GET path` below /api/v1/ answers. */
export function read(path) {
  return ask("GET", path);
}

/** Ends a connection; with `ban` its names may not be published for as many seconds. */
export function kick(id, ban = null) {
  return ask("DELETE", `clients/${encodeURIComponent(id)}${ban === null ? "" : `?ban=${ban}`}`);
}

/** Bans `{ stream }` or `{ address }`, for so many seconds or, with null, until it is lifted. */
export function ban(target, seconds, reason) {
  const query = new URLSearchParams({ ...target, reason });
  if (seconds !== null) query.set("seconds", seconds);
  return ask("PUT", `bans?${query.toString().replaceAll("+", "%20")}`);
}

/** Ends a ban. */
export function lift(target) {
  return ask("DELETE", `bans?${new URLSearchParams(target).toString().replaceAll("+", "%20")}`);
}

async function ask(method, path) {
  const token = sessionStorage.getItem(KEY);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(`/api/v1/${path}`, { method, headers, signal, cache: "no-store" });
  if (answer.status === 401) throw new TokenWanted(token ? "that is not the token" : "");
  const body = await answer.json();
  if (!answer.ok) throw new Error(body?.error?.message ?? `the relay answers ${answer.status}`);
  return body;
}
