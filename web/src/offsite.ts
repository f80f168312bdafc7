import type { Camera } from './api';
import { text } from './text';
import { formatDuration, formatMoment } from './time_format';

/** What a camera's line says of its copies in the bucket. */
export interface OffSite {
  readonly words: string;
  /** More waits than the object being written and one upload. */
  readonly late: boolean;
}

// An object lasts three minutes at most, and a minute is a slow upload of one.
const kLate_ms = 4 * 60_000;

/** Null where nothing is known: no bucket, or nothing in it yet. Times by the server's clock, not by this machine's. */
export function offSite(camera: Camera, now: number): OffSite | null {
  const safe = camera.safe_until_ms ?? null;
  if (safe === null) return null;
  const recorded = camera.recorded_until === null ? safe : Date.parse(camera.recorded_until);
  const behind = recorded - safe;
  const time = formatMoment(safe, now);
  if (behind <= kLate_ms) return { words: text.safeUntil(time), late: false };
  return { words: text.lateUntil(time, formatDuration(behind)), late: true };
}
