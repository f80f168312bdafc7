// An interval of up to 7 days is played as a chain of windows: playlists of an hour load at once and stay small.

export interface Interval {
  readonly from: number;
  readonly to: number;
}

const kMinute_ms = 60_000;
export const kWindow_ms = 60 * kMinute_ms;
/** Shown before the place asked for, so that stepping back needs no new window. */
const kLead_ms = 5 * kMinute_ms;
/** An interval up to this long is one window. */
const kWhole_ms = 2 * kWindow_ms;

/** The window of `interval` to load for the picture at `wallMs`. */
export function windowFor(interval: Interval, wallMs: number): Interval {
  if (interval.to - interval.from <= kWhole_ms) return interval;
  const from = Math.max(interval.from, Math.min(wallMs - kLead_ms, interval.to - kWindow_ms));
  return { from, to: Math.min(interval.to, from + kWindow_ms) };
}

export function contains(interval: Interval, wallMs: number): boolean {
  return wallMs >= interval.from && wallMs < interval.to;
}
