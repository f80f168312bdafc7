import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Camera } from '../src/api';
import { offSite } from '../src/offsite';

beforeAll(() => {
  vi.stubEnv('TZ', 'Europe/Berlin');
});
afterAll(() => {
  vi.unstubAllEnvs();
});

const kNoon = Date.UTC(2026, 10, 21, 11, 0, 0); // 12:00 in Berlin

function camera(safe_ms: number | null | undefined, recorded_ms: number | null = kNoon): Camera {
  return {
    name: 'front',
    state: 'recording',
    codecs: [],
    width: 0,
    height: 0,
    bitrate_bps: 0,
    last_error: null,
    recorded_until: recorded_ms === null ? null : new Date(recorded_ms).toISOString(),
    ...(safe_ms === undefined ? {} : { safe_until_ms: safe_ms }),
  };
}

test('without a bucket, or with nothing in it yet, nothing is said', () => {
  expect(offSite(camera(undefined), kNoon)).toBeNull();
  expect(offSite(camera(null), kNoon)).toBeNull();
});

test('up to when it is safe, with the date when that is another day', () => {
  expect(offSite(camera(kNoon - 20_000), kNoon)).toEqual({ words: 'safe off-site up to 11:59:40', late: false });
  expect(offSite(camera(kNoon, kNoon), kNoon + 24 * 3_600_000)).toEqual({
    words: 'safe off-site up to 2026-11-21 12:00:00',
    late: false,
  });
});

test('a backlog warns, and says how much waits', () => {
  expect(offSite(camera(kNoon - 240_000), kNoon)?.late).toBe(false);
  expect(offSite(camera(kNoon - 240_001), kNoon)?.late).toBe(true);
  expect(offSite(camera(kNoon - 3_600_000), kNoon)).toEqual({
    words: 'safe off-site only up to 11:00:00 (1 h behind)',
    late: true,
  });
});

test('the clock of this machine changes nothing, nor a camera that sends nothing any more', () => {
  expect(offSite(camera(kNoon - 20_000), kNoon + 7 * 3_600_000)?.late).toBe(false);
  expect(offSite(camera(kNoon - 20_000, null), kNoon)?.late).toBe(false);
});
