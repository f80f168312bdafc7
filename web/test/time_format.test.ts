import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { checkInterval } from '../src/interval_form';
import { shareToken } from '../src/session';
import { formatClockMs, formatDuration, formatLocalInput, formatMoment, parseLocalInput, parseRfc3339 } from '../src/time_format';
import { text } from '../src/text';

beforeAll(() => {
  vi.stubEnv('TZ', 'Europe/Berlin');
});
afterAll(() => {
  vi.unstubAllEnvs();
});

const kNoon = Date.UTC(2026, 10, 21, 12, 0, 0);

test.each([
  ['2026-11-21T12:00:00Z', kNoon],
  ['2026-11-21t12:00:00z', kNoon],
  ['2026-11-21T13:30:00+01:30', kNoon],
  ['2026-11-21T12:00:00.5Z', kNoon + 500],
  ['2026-11-21T12:00:00.033366Z', kNoon + 33.366],
  ['2026-11-21T12:00:00', null],
  ['2026-13-41T12:00:00Z', null],
  ['', null],
])('parseRfc3339 %s', (written, wallMs) => {
  const parsed = parseRfc3339(written);
  if (wallMs === null) expect(parsed).toBeNull();
  else expect(parsed).toBeCloseTo(wallMs, 3);
});

describe('local times', () => {
  test.each([
    ['2026-11-21T13:00:00', kNoon],
    ['2026-11-21T13:00', kNoon],
    ['2026-11-21T13:00:00.25', kNoon + 250],
    ['2026-07-01T14:00:00', Date.UTC(2026, 6, 1, 12)],
    ['2026-11-21', null],
    ['21.11.2026 13:00', null],
    ['', null],
  ])('parseLocalInput %s', (value, wallMs) => {
    expect(parseLocalInput(value)).toBe(wallMs);
  });

  test('what a field shows is what it reads', () => {
    expect(formatLocalInput(kNoon)).toBe('2026-11-21T13:00:00');
    expect(parseLocalInput(formatLocalInput(kNoon))).toBe(kNoon);
    expect(formatClockMs(kNoon + 7)).toBe('13:00:00.007');
  });

  test('the date is shown for another day only', () => {
    expect(formatMoment(kNoon, kNoon + 3_600_000)).toBe('13:00:00');
    expect(formatMoment(kNoon, kNoon + 12 * 3_600_000)).toBe('2026-11-21 13:00:00');
  });
});

test.each([
  [400, '0 s'],
  [59_000, '59 s'],
  [60_000, '1 min'],
  [90_000, '1 min 30 s'],
  [3_600_000, '1 h'],
  [5_400_000, '1 h 30 min'],
  [50 * 3_600_000, '2 d 2 h'],
])('formatDuration %d', (ms, written) => {
  expect(formatDuration(ms)).toBe(written);
});

test.each([
  ['both ends are needed', null, kNoon, text.badTime],
  ['the start is before the end', kNoon, kNoon, text.emptyInterval],
  ['the future is not recorded', kNoon + 1, kNoon + 2, text.futureInterval],
  ['seven days at most', kNoon - 8 * 86_400_000, kNoon, text.longInterval],
  ['the end is at most now', kNoon - 1000, kNoon + 1000, { from: kNoon - 1000, to: kNoon }],
])('checkInterval: %s', (_name, from, to, expected) => {
  expect(checkInterval(from, to, kNoon)).toEqual(expected);
});

test.each([
  ['#t=abc.def-_1', 'abc.def-_1'],
  ['#t=', null],
  ['#other', null],
  ['', null],
])('shareToken %s', (fragment, token) => {
  expect(shareToken(fragment)).toBe(token);
});
