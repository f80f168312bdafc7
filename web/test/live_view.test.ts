import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LiveError } from '../src/live/live_error';
import { LiveView } from '../src/live/live_view';
import type { LiveState } from '../src/live/live_view';
import type { Transport, TransportEvents, TransportKind } from '../src/live/transport';

class FakeTransport implements Transport {
  stopped = false;
  networkChanges = 0;
  readonly video = {} as HTMLVideoElement;

  constructor(
    readonly kind: TransportKind,
    readonly events: TransportEvents,
  ) {}

  wallClock = (): null => null;
  delay_ms = (): null => null;
  setLowestDelay(): void {}
  networkChanged(): void {
    ++this.networkChanges;
  }
  stop(): void {
    this.stopped = true;
  }
}

let made: FakeTransport[];
let states: LiveState[];
let shown: (Transport | null)[];
let view: LiveView;

function make(webrtcPossible = true, other: 'hls' | 'bucket' = 'hls'): void {
  view = new LiveView(
    (kind, events) => {
      const transport = new FakeTransport(kind, events);
      made.push(transport);
      return transport;
    },
    webrtcPossible,
    { onState: (state) => states.push(state), onShow: (transport) => shown.push(transport) },
    other,
  );
  view.start();
}

/** Those that were not stopped. */
const running = (): TransportKind[] => made.filter((one) => !one.stopped).map((one) => one.kind);
const last = (kind: TransportKind): FakeTransport => made.filter((one) => one.kind === kind).at(-1)!;
const state = (): LiveState => states.at(-1)!;
const end = (kind: TransportKind, error: LiveError): void => last(kind).events.onEnd(error);

beforeEach(() => {
  vi.useFakeTimers();
  made = [];
  states = [];
  shown = [];
});

afterEach(() => {
  vi.useRealTimers();
});

describe('the first picture', () => {
  test('WebRTC alone when it is in time', () => {
    make();
    expect(running()).toEqual(['webrtc']);
    vi.advanceTimersByTime(2900);
    last('webrtc').events.onPicture();
    vi.advanceTimersByTime(3_600_000);
    expect(made).toHaveLength(1);
    expect(state()).toEqual({ kind: 'live', transport: 'webrtc' });
  });

  test('after 3 s HLS beside it, and the first picture decides', () => {
    make();
    vi.advanceTimersByTime(2999);
    expect(running()).toEqual(['webrtc']);
    vi.advanceTimersByTime(1);
    expect(running()).toEqual(['webrtc', 'hls']);
    last('hls').events.onPicture();
    expect(running()).toEqual(['hls']);
    expect(state()).toEqual({ kind: 'live', transport: 'hls' });
  });

  test('WebRTC that is late but first', () => {
    make();
    vi.advanceTimersByTime(4000);
    last('webrtc').events.onPicture();
    expect(running()).toEqual(['webrtc']);
  });

  test('a browser without WebRTC', () => {
    make(false);
    vi.advanceTimersByTime(3_600_000);
    expect(made.map((one) => one.kind)).toEqual(['hls']);
  });

  test('no codec in common: HLS at once, WebRTC again later, ever more seldom', () => {
    make();
    end('webrtc', new LiveError('unsupported', 'H.265'));
    expect(running()).toEqual(['hls']);
    last('hls').events.onPicture();
    const tries: number[] = [];
    for (let s = 1; s <= 400; ++s) {
      const before = made.length;
      vi.advanceTimersByTime(1000);
      if (made.length === before) continue;
      tries.push(s);
      end('webrtc', new LiveError('unsupported', 'H.265'));
    }
    expect(tries).toEqual([10, 30, 70, 150, 310]);
    expect(running()).toEqual(['hls']);
    expect(state()).toEqual({ kind: 'live', transport: 'hls' });
  });

  test('busy: HLS meanwhile, WebRTC when the server said, and then no more HLS', () => {
    make();
    end('webrtc', new LiveError('busy', 'too many', 7));
    last('hls').events.onPicture();
    vi.advanceTimersByTime(6999);
    expect(running()).toEqual(['hls']);
    vi.advanceTimersByTime(1);
    expect(running()).toEqual(['hls', 'webrtc']);
    expect(shown.at(-1)).toBe(last('hls'));
    last('webrtc').events.onPicture();
    expect(running()).toEqual(['webrtc']);
    expect(shown.at(-1)).toBe(last('webrtc'));
  });

  test('a try that brings nothing within 3 s leaves HLS alone', () => {
    make();
    vi.advanceTimersByTime(3000);
    last('hls').events.onPicture();
    vi.advanceTimersByTime(10_000);
    expect(running()).toEqual(['hls', 'webrtc']);
    vi.advanceTimersByTime(3000);
    expect(running()).toEqual(['hls']);
    expect(states.filter((one) => one.kind !== 'connecting')).toEqual([{ kind: 'live', transport: 'hls' }]);
  });
});

describe('a connection that ends', () => {
  test('the next session at once, the picture stands until then', () => {
    make();
    last('webrtc').events.onPicture();
    vi.advanceTimersByTime(60_000);
    end('webrtc', new LiveError('lost', 'gone'));
    expect(state()).toEqual({ kind: 'reconnecting', reason: 'gone' });
    expect(shown.at(-1)).toBeNull();
    vi.advanceTimersByTime(0);
    expect(running()).toEqual(['webrtc']);
    last('webrtc').events.onPicture();
    expect(state()).toEqual({ kind: 'live', transport: 'webrtc' });
  });

  test('a server that is away is asked until it is back, every 4 s in the end', () => {
    make();
    last('webrtc').events.onPicture();
    vi.advanceTimersByTime(60_000);
    end('webrtc', new LiveError('lost', 'gone'));
    const waits: number[] = [];
    for (let i = 0, waited = 0; i < 6; ++i, waited = 0) {
      const before = made.length;
      while (made.length === before) {
        vi.advanceTimersByTime(100);
        waited += 100;
      }
      waits.push(waited);
      end('webrtc', new LiveError('unreachable', 'away'));
    }
    expect(waits).toEqual([100, 500, 1000, 2000, 4000, 4000]);
    expect(made.every((one) => one.kind === 'webrtc')).toBe(true);
  });

  test('HLS that gave up begins again', () => {
    make(false);
    last('hls').events.onPicture();
    end('hls', new LiveError('lost', 'no picture for a minute'));
    expect(state().kind).toBe('reconnecting');
    vi.advanceTimersByTime(500);
    expect(running()).toEqual(['hls']);
  });

  test('signed out: nothing is asked any more', () => {
    make();
    end('webrtc', new LiveError('signed_out', ''));
    vi.advanceTimersByTime(3_600_000);
    expect(running()).toEqual([]);
    expect(made).toHaveLength(1);
    expect(state()).toEqual({ kind: 'signed_out' });
  });
});

test('a camera that is away keeps its session', () => {
  make();
  last('webrtc').events.onPicture();
  last('webrtc').events.onStall(true);
  expect(state()).toEqual({ kind: 'away' });
  vi.advanceTimersByTime(3_600_000);
  expect(running()).toEqual(['webrtc']);
  last('webrtc').events.onStall(false);
  expect(state()).toEqual({ kind: 'live', transport: 'webrtc' });
  expect(made).toHaveLength(1);
});

test('another network: what plays looks for its way, and WebRTC is tried again where HLS plays', () => {
  make();
  vi.advanceTimersByTime(3000);
  last('hls').events.onPicture();
  view.networkChanged();
  vi.advanceTimersByTime(0);
  expect(running()).toEqual(['hls', 'webrtc']);
  last('webrtc').events.onPicture();
  view.networkChanged();
  expect(last('webrtc').networkChanges).toBe(1);
  expect(running()).toEqual(['webrtc']);
});

test('stop ends everything, timers as well, and start begins anew', () => {
  make();
  vi.advanceTimersByTime(3000);
  view.stop();
  expect(running()).toEqual([]);
  expect(state()).toEqual({ kind: 'paused' });
  const ended = made.length;
  vi.advanceTimersByTime(3_600_000);
  expect(made).toHaveLength(ended);
  view.start();
  expect(running()).toEqual(['webrtc']);
});

test('what a stopped transport still says counts for nothing', () => {
  make();
  vi.advanceTimersByTime(3000);
  const webrtc = last('webrtc');
  last('hls').events.onPicture();
  webrtc.events.onPicture();
  webrtc.events.onEnd(new LiveError('lost', 'late'));
  expect(running()).toEqual(['hls']);
  expect(state()).toEqual({ kind: 'live', transport: 'hls' });
});

describe('through a bucket', () => {
  test('tells what is known of the recorder until there is a picture', () => {
    make(false, 'bucket');
    expect(running()).toEqual(['bucket']);
    last('bucket').events.onWaiting?.('asking');
    expect(state()).toEqual({ kind: 'asking', waiting: 'asking', problem: '' });
    last('bucket').events.onWaiting?.('recorder_away');
    expect(state()).toEqual({ kind: 'asking', waiting: 'recorder_away', problem: '' });
    last('bucket').events.onPicture();
    expect(state()).toEqual({ kind: 'live', transport: 'bucket' });
    // There is nothing better to try.
    vi.advanceTimersByTime(3_600_000);
    expect(running()).toEqual(['bucket']);
  });

  test('why it cannot be asked is told, and it is tried again', () => {
    make(false, 'bucket');
    end('bucket', new LiveError('busy', 'this key may not'));
    expect(state()).toEqual({ kind: 'asking', waiting: 'asking', problem: 'this key may not' });
    expect(running()).toEqual([]);
    vi.advanceTimersByTime(5000);
    expect(running()).toEqual(['bucket']);
    last('bucket').events.onPicture();
    end('bucket', new LiveError('lost', 'the recorder ended it'));
    expect(state()).toEqual({ kind: 'reconnecting', reason: 'the recorder ended it' });
    vi.advanceTimersByTime(5000);
    expect(running()).toEqual(['bucket']);
    end('bucket', new LiveError('signed_out', ''));
    expect(state()).toEqual({ kind: 'signed_out' });
  });
});
