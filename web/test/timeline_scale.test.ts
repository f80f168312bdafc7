import { expect, test } from 'vitest';
import { TimelineScale, gapAt, spanAt, ticks } from '../src/timeline_scale';
import { contains, kWindow_ms, windowFor } from '../src/windows';

const kHour = 3_600_000;

test('pixels and times convert both ways, within the bar', () => {
  const scale = new TimelineScale(1000, 2000, 500);
  expect(scale.x(1500)).toBe(250);
  expect(scale.wall(250)).toBe(1500);
  expect(scale.wall(-5)).toBe(1000);
  expect(scale.wall(999)).toBe(2000);
});

test.each([
  ['5 min on a wide bar', 5 * 60_000, 1600, 15_000],
  ['1 h on a telephone', kHour, 330, 15 * 60_000],
  ['24 h', 24 * kHour, 1200, 2 * kHour],
  ['7 days', 7 * 24 * kHour, 330, 24 * kHour],
])('ticks: %s', (_name, length, width, step_ms) => {
  const from = Date.UTC(2026, 10, 21, 6, 1, 7);
  const found = ticks(new TimelineScale(from, from + length, width), 76, 0);
  expect(found.step_ms).toBe(step_ms);
  expect(found.times.length).toBeGreaterThan(2);
  for (const time of found.times) expect(time % step_ms).toBe(0);
});

test('ticks are round in local time', () => {
  const from = Date.UTC(2026, 10, 21);
  const offset = 5.5 * kHour;
  for (const time of ticks(new TimelineScale(from, from + 24 * kHour, 300), 76, offset).times) {
    expect((time + offset) % (6 * kHour)).toBe(0);
  }
});

test('gaps and spans under the pointer', () => {
  const gap = { start: 100, end: 200, reason: 'camera_offline', text: 'no answer' };
  const timeline = { from: 0, to: 1000, spans: [{ start: 0, end: 100 }, { start: 200, end: 900 }], gaps: [gap] };
  expect(gapAt(timeline, 150)).toBe(gap);
  expect(gapAt(timeline, 205)).toBeNull();
  expect(gapAt(timeline, 205, 10)).toBe(gap);
  expect(spanAt(timeline, 205)).toEqual({ start: 200, end: 900 });
  expect(spanAt(timeline, 950)).toBeNull();
});

test('short intervals are one window', () => {
  const interval = { from: 0, to: 2 * kHour };
  expect(windowFor(interval, kHour)).toBe(interval);
});

test.each([0, kHour, 11.5 * kHour, 24 * kHour - 1])('a window of a long interval holds the time asked for: %d', (wallMs) => {
  const interval = { from: 0, to: 24 * kHour };
  const window = windowFor(interval, wallMs);
  expect(contains(window, wallMs)).toBe(true);
  expect(window.to - window.from).toBe(kWindow_ms);
  expect(window.from).toBeGreaterThanOrEqual(0);
  expect(window.to).toBeLessThanOrEqual(interval.to);
});
