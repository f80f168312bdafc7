// A line of so many bits a second and so much delay between a browser and miharu: HTTP over TCP and live view over UDP share it.
import { createSocket } from 'node:dgram';
import { createServer, connect } from 'node:net';

/** What a home router holds before it drops: a fifth of a second. */
export const kQueue_ms = 200;

/** One way of the line: first come, first served. */
class Way {
  constructor({ bitsPerSecond, delay_ms, queue_ms, loseEvery }) {
    Object.assign(this, { bitsPerSecond, delay_ms, queue_ms, loseEvery });
    this.packets = 0;
    this.free = 0;
    this.waiting = [];
    this.counters = { carried: 0, dropped: 0, longestQueue_ms: 0 };
    this.timer = null;
  }

  /** `deliver` is called when the last bit has arrived; never, if the packet `mayDrop` and the queue is full or its turn to be lost has come. */
  send(bytes, mayDrop, deliver) {
    const now = performance.now();
    const queued = Math.max(0, this.free - now);
    if (mayDrop && (queued > this.queue_ms || ++this.packets % this.loseEvery === 0)) {
      ++this.counters.dropped;
      return;
    }
    ++this.counters.carried;
    this.counters.longestQueue_ms = Math.max(this.counters.longestQueue_ms, queued);
    this.free = now + queued + (bytes * 8000) / this.bitsPerSecond;
    this.waiting.push({ due: this.free + this.delay_ms, deliver });
    this.wait();
  }

  wait() {
    if (this.timer !== null || this.waiting.length === 0) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      const now = performance.now();
      let ready = 0;
      while (ready < this.waiting.length && this.waiting[ready].due <= now) ++ready;
      for (const { deliver } of this.waiting.splice(0, ready)) deliver();
      this.wait();
    }, Math.max(0, this.waiting[0].due - performance.now()));
  }

  stop() {
    clearTimeout(this.timer);
    this.waiting = [];
  }
}

const kUdpBuffer_bytes = 4 << 20;
const kHeaders_bytes = 28;

function udpSocket() {
  const socket = createSocket('udp4');
  return new Promise((resolve) => {
    socket.bind(0, '127.0.0.1', () => {
      try {
        socket.setRecvBufferSize(kUdpBuffer_bytes);
      } catch {
        // Less has to do.
      }
      resolve(socket);
    });
  });
}

/**
 * The line to the miharu of `url`, whose live view has the port `udpPort`. Gives `url` and `udpPort` at the near end, `down` (towards
 * the browser; it loses one UDP packet of `loseEvery`) and `up` with their counters, and stop(). A browser's page must say `insert` to itself first (an init script):
 * answers then name the near end instead of miharu.
 */
export async function startLink({ url, udpPort, bitsPerSecond = Infinity, roundTrip_ms = 0, queue_ms = kQueue_ms, loseEvery = Infinity }) {
  const far = new URL(url);
  const kind = { bitsPerSecond, delay_ms: roundTrip_ms / 2, queue_ms };
  const up = new Way({ ...kind, loseEvery: Infinity });
  const down = new Way({ ...kind, loseEvery });

  const near = await udpSocket();
  const fars = new Map();
  near.on('message', async (data, from) => {
    const key = `${from.address}:${from.port}`;
    if (!fars.has(key)) {
      fars.set(
        key,
        udpSocket().then((socket) => {
          socket.on('error', () => undefined);
          socket.on('message', (back) => down.send(back.length + kHeaders_bytes, true, () => near.send(back, from.port, from.address)));
          return socket;
        }),
      );
    }
    const socket = await fars.get(key);
    up.send(data.length + kHeaders_bytes, true, () => socket.send(data, udpPort, '127.0.0.1'));
  });

  const connections = new Set();
  const http = createServer({ noDelay: true }, (browser) => {
    const server = connect({ host: far.hostname, port: Number(far.port), noDelay: true });
    connections.add(browser).add(server);
    const carry = (from, to, way) => {
      from.on('data', (data) => way.send(data.length, false, () => to.write(data)));
      from.on('end', () => way.send(0, false, () => to.end()));
      from.on('error', () => to.destroy());
      from.on('close', () => connections.delete(from));
    };
    carry(browser, server, up);
    carry(server, browser, down);
  });
  await new Promise((resolve) => http.listen(0, '127.0.0.1', resolve));

  const nearUrl = new URL(url);
  nearUrl.port = String(http.address().port);
  return {
    url: nearUrl.href,
    udpPort: near.address().port,
    up,
    down,
    insert: insertLink,
    async stop() {
      up.stop();
      down.stop();
      http.close();
      for (const each of connections) each.destroy();
      near.close();
      for (const each of await Promise.all(fars.values())) each.close();
    },
  };
}

/** In the page. */
function insertLink([from, to]) {
  const set = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = function (description) {
    const sdp = description.sdp.replaceAll(new RegExp(`^(a=candidate:\\S+ \\d+ udp \\d+ 127\\.0\\.0\\.1) ${from} `, 'gm'), `$1 ${to} `);
    return set.call(this, { type: description.type, sdp });
  };
}
