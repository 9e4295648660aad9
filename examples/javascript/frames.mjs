// Bodies too large for one message, and those that begin with 0x02, travel in
// frames. bus/frame.go has their layout.

const mark = 0x02;
const overhead = 29;

/** Whether one message carries the body as it is. */
export const fits = (body, limit) => body.length <= limit && body[0] !== mark;

/** Yields the messages, of at most limit bytes, that carry a body. */
export function* cut(body, limit) {
  if (fits(body, limit)) {
    yield body;
    return;
  }
  const size = limit - overhead;
  const count = Math.ceil(body.length / size);
  const id = crypto.getRandomValues(new Uint8Array(8));
  for (let index = 0; index < count; index++) {
    const piece = body.subarray(index * size, (index + 1) * size);
    const frame = new Uint8Array(overhead + piece.length);
    const head = new DataView(frame.buffer);
    frame[0] = mark;
    frame.set(id, 1);
    head.setUint32(9, index);
    head.setUint32(13, count);
    head.setBigUint64(17, BigInt(body.length));
    head.setUint32(25, crc32c(piece));
    frame.set(piece, overhead);
    yield frame;
  }
}

/** Puts the frames of one sender together, which come in order. */
export class Assembly {
  #body;
  #filled = 0;
  #next = 0;

  /** Takes one message, and returns the body once it is whole. */
  add(message) {
    if (message[0] !== mark) return message;
    const head = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const index = head.getUint32(9);
    const piece = message.subarray(overhead);
    if (index !== this.#next || head.getUint32(25) !== crc32c(piece)) throw new Error(`damaged reply: frame ${index}`);
    if (index === 0) this.#body = new Uint8Array(Number(head.getBigUint64(17)));
    this.#body.set(piece, this.#filled);
    this.#filled += piece.length;
    this.#next++;
    if (this.#next < head.getUint32(13)) return undefined;
    const body = this.#body;
    this.#body = undefined;
    this.#filled = this.#next = 0;
    return body;
  }
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0x82f63b78 : byte >>> 1;
  return byte;
});

// CRC-32C, of Castagnoli.
function crc32c(bytes) {
  let sum = ~0;
  for (const byte of bytes) sum = table[(sum ^ byte) & 0xff] ^ (sum >>> 8);
  return ~sum >>> 0;
}
