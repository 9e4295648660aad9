// Puts, gets, watches and handles errors against a node of replicator, by
// WebSocket. README.md has how to start one.

import { connect, ReplicatorError } from "./replicator.mjs";

const servers = process.env.REPLICATOR_WS ?? "ws://127.0.0.1:8090";

// Node has a WebSocket of its own from version 22 on.
if (!globalThis.WebSocket) globalThis.WebSocket = (await import("ws")).WebSocket;

const client = await connect({ servers, name: "javascript example", reconnect: false });
try {
  console.log(`node ${client.node} answers`);
  await putAndGet();
  await errors();
  await watch();
} finally {
  await client.close();
}
console.log("done");

async function putAndGet() {
  const revision = await client.put("demo/colour", "red");
  console.log(`put demo/colour: ${revision}`);
  // A revision is a token: whichever node answers has seen that write.
  const colour = await client.get("demo/colour", { after: revision });
  console.log(`get demo/colour: ${colour.text()}, at ${colour.revision}`);

  const raw = Uint8Array.of(0x02, 0x00, 0xff, 0x0a); // no text
  await client.put("demo/raw", raw, { ttl: "1h" });
  const { bytes, expires } = await client.get("demo/raw");
  console.log(`get demo/raw: ${bytes}, until ${expires}`);

  const large = new Uint8Array(1_500_000).map((_, i) => i); // more than one message carries
  await client.put("demo/large", large);
  const same = (await client.get("demo/large")).bytes.every((byte, i) => byte === large[i]);
  console.log(`get demo/large: ${large.length} bytes, ${same ? "the same" : "OTHERS"}`);
}

async function errors() {
  for (const [what, request] of [
    ["get of no key", () => client.get("demo/nothing")],
    ["create of a key that is there", () => client.put("demo/colour", "blue", { ifLocal: "absent" })],
    ["put without a key", () => client.put("", "value")],
  ]) {
    try {
      await request();
      throw new Error(`${what} was not refused`);
    } catch (err) {
      if (!(err instanceof ReplicatorError)) throw err;
      console.log(`${what}: ${err.code} (${err.status}): ${err.message}`);
    }
  }
}

async function watch() {
  // First the rows that there are, then changes: until the delete was told, and
  // a mark whose token stands for all that.
  let deleted = false;
  let token;
  for await (const event of client.watch({ prefix: "demo/", fromStart: true, marks: true, metaOnly: true })) {
    console.log(`watch: ${event.type} ${event.key ?? ""}`.trimEnd());
    if (event.type === "mark" && event.caughtUp) await client.del("demo/colour");
    deleted ||= event.type === "delete" && event.key === "demo/colour";
    if (event.type === "mark" && deleted) {
      token = event.token;
      break;
    }
  }

  // What happens while nobody watches is told to who comes back with the token.
  await client.put("demo/shape", "round");
  for await (const event of client.watch({ prefix: "demo/", resume: token, marks: true })) {
    if (event.type !== "put") continue;
    console.log(`watch, resumed: ${event.key} = ${event.value}`);
    break;
  }

  // A watch that waits for what never comes is ended from outside.
  const stop = new AbortController();
  for await (const event of client.watch({ prefix: "demo/", signal: stop.signal })) {
    console.log(`watch: ${event.type}`);
    stop.abort();
  }
}
