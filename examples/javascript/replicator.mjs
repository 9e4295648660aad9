// A client of replicator's data API over NATS, by WebSocket: for Node and for
// pages in a browser. What travels is described in the package page of
// replicator/api: `go doc replicator/api`.

import { createInbox, headers, wsconnect } from "@nats-io/nats-core";
import { Assembly, cut } from "./frames.mjs";

const frameLimit = 256 * 1024; // of what is sent; max_payload lowers it
const headerRoom = 4 * 1024; // which max_payload counts, too
const renewEvery = 10_000; // ms; a stream that is not renewed for 30 s is left
const renewAfter = 32; // messages; no more than 256 are sent ahead
const silence = 15_000; // ms; a stream says something every 4 s

/** What a node refuses. Codes are stable: docs/api.md lists them. */
export class ReplicatorError extends Error {
  constructor({ code, status, text }) {
    super(text);
    this.name = "ReplicatorError";
    this.code = code;
    this.status = status;
  }
}

/**
 * Connects and finds a node, which answers all that this client asks: so it
 * reads what it wrote. `node` names another one. What is not listed here is an
 * option of nats.js, as `servers`, `user`, `pass`, `authenticator`.
 */
export async function connect({ prefix = "replicator", bucket = "default", node, timeout = 5000, ...nats }) {
  const nc = await wsconnect(nats);
  try {
    const client = new Client(nc, { prefix, bucket, node: node ?? "any", timeout, inboxPrefix: nats.inboxPrefix });
    if (!node) client.node = (await client.status()).node;
    return client;
  } catch (err) {
    await nc.close();
    throw err;
  }
}

class Client {
  #nc;
  #options;

  constructor(nc, options) {
    this.#nc = nc;
    this.#options = options;
    this.node = options.node;
  }

  /** How the node stands. */
  async status() {
    return json((await this.#ask("status")).body);
  }

  /** The value at a key as `bytes`, and its `revision`; not_found if there is none. */
  async get(key, { after } = {}) {
    const { body, headers: h } = await this.#ask("get", bytes(key), { "Replicator-After": after });
    return {
      bytes: body,
      text: () => text(body),
      revision: `${h.get("Replicator-Origin")}:${h.get("Replicator-Seq")}`,
      expires: h.get("Replicator-Expiry") || undefined,
    };
  }

  /**
   * Writes a value and returns its revision. `ttl` is a time as "90s". `ifLocal`
   * is what the node has to have at the key: "absent", or a revision.
   */
  async put(key, value, { ttl, ifLocal, createBucket } = {}) {
    const record = { ...field("key", key), ...field("value", value), ttl, if_local: ifLocal, create: createBucket };
    return revision(json((await this.#ask("put", bytes(JSON.stringify(record)))).body));
  }

  /** Deletes a key and returns the revision of that; not_found if there is none. */
  async del(key) {
    return revision(json((await this.#ask("del", bytes(key))).body));
  }

  /**
   * Yields events of `type` open, put, delete and mark, until the loop is left,
   * or `signal` ends it. `fromStart` tells the rows first that there are; a mark
   * with `caughtUp` follows. The `token` of a mark is what `resume` goes on from.
   */
  async *watch({ prefix = "", fromStart, resume, marks, putsOnly, metaOnly, signal } = {}) {
    const ask = { ...field("prefix", prefix), from_start: fromStart, resume, marks, puts_only: putsOnly, meta_only: metaOnly };
    let id;
    let number = 0; // of the last message taken
    const tell = (word) => id && !this.#nc.isClosed() && this.#nc.publish(this.#subject("watch"), JSON.stringify(word));
    const renew = setInterval(() => tell({ renew: id, number }), renewEvery);
    try {
      for await (const { body } of this.#replies("watch", bytes(JSON.stringify(ask)), { wait: silence, signal })) {
        const [first, ...lines] = text(body).split("\n").filter(Boolean);
        const head = JSON.parse(first);
        if (head.number !== number + 1) throw new Error(`a message of the watch was lost: ${head.number} after ${number}`);
        ({ stream: id, number } = head);
        if (head.type === "open") yield { type: "open", node: head.node };
        for (const line of lines) yield event(JSON.parse(line));
        if (number % renewAfter === 0) tell({ renew: id, number });
      }
    } finally {
      clearInterval(renew);
      tell({ stop: id });
    }
  }

  /** Sends what is left to send, and ends the connection. */
  close() {
    return this.#nc.drain();
  }

  #subject(verb) {
    const { prefix, bucket } = this.#options;
    return `${prefix}.${bucket}.api.${this.node}.${verb}`;
  }

  async #ask(verb, body, extra) {
    for await (const reply of this.#replies(verb, body, { wait: this.#options.timeout, extra })) return reply;
  }

  // Yields the replies to a request, each whole, until the caller leaves. A node
  // that says nothing for `wait` is an error.
  async *#replies(verb, body = new Uint8Array(), { wait, extra = {}, signal }) {
    const nc = this.#nc;
    const subject = this.#subject(verb);
    const inbox = createInbox(this.#options.inboxPrefix);
    const sub = nc.subscribe(inbox);
    const leave = () => sub.unsubscribe();
    signal?.addEventListener("abort", leave, { once: true });
    let timer;
    try {
      if (signal?.aborted) return;
      const limit = Math.min(frameLimit, nc.info.max_payload - headerRoom);
      for (const frame of cut(body, limit)) nc.publish(subject, frame, { reply: inbox, headers: requestHeaders(extra) });
      timer = setTimeout(leave, wait);
      const assembly = new Assembly();
      for await (const m of sub) {
        clearTimeout(timer); // it is the reader's time that runs now
        if (m.headers?.code === 503 && m.data.length === 0) {
          throw new ReplicatorError({ code: "no_node", status: 503, text: `no node answers on ${subject}` });
        }
        const whole = assembly.add(m.data);
        if (whole) {
          if (m.headers?.get("Nats-Service-Error-Code")) throw refused(whole);
          yield { body: whole, headers: m.headers };
        }
        timer = setTimeout(leave, wait);
      }
      if (signal?.aborted) return;
      const why = nc.isClosed() ? "the connection is closed" : `no reply on ${subject} within ${wait} ms`;
      throw new ReplicatorError({ code: "no_reply", status: 504, text: why });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", leave);
      leave();
    }
  }
}

const bytes = (data) => (typeof data === "string" ? new TextEncoder().encode(data) : data);
const text = (data) => new TextDecoder().decode(data);
const json = (data) => JSON.parse(text(data));
const revision = ({ origin, seq }) => `${origin}:${seq}`;

// A refusal, and the end of a stream, have the error in their first line.
function refused(body) {
  return new ReplicatorError(JSON.parse(text(body).split("\n", 1)[0]).error);
}

function requestHeaders(extra) {
  const h = headers();
  for (const [name, value] of Object.entries(extra)) if (value !== undefined) h.set(name, value);
  return h;
}

// Text goes as it is, bytes as base64 under name_b64, in both directions.
function field(name, data) {
  return typeof data === "string" ? { [name]: data } : { [`${name}_b64`]: base64(data) };
}

function base64(data) {
  let binary = "";
  for (let at = 0; at < data.length; at += 0x8000) binary += String.fromCharCode(...data.subarray(at, at + 0x8000));
  return btoa(binary);
}

function plain(record, name) {
  const b64 = record[`${name}_b64`];
  return b64 === undefined ? record[name] : Uint8Array.from(atob(b64), (c) => c.charCodeAt(0));
}

// What a watch yields: keys and values are text, or bytes where they are not UTF-8.
function event(record) {
  if (record.mark) return { type: "mark", token: record.mark.token, caughtUp: record.mark.caught_up === true };
  return {
    type: record.deleted ? "delete" : "put",
    key: plain(record, "key"),
    value: plain(record, "value"),
    revision: revision(record),
    timestamp: record.timestamp,
    expires: record.expiry,
  };
}
