// Times as people and the server write them. Inside the page a time is Unix milliseconds, with a fraction.

const kRfc3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339 to Unix milliseconds; digits beyond milliseconds are kept, which Date.parse drops. */
export function parseRfc3339(text: string): number | null {
  const match = kRfc3339.exec(text.trim());
  if (!match) return null;
  const zone = match[4]!.toUpperCase();
  const whole = Date.parse(`${match[1]}T${match[2]}${zone}`);
  if (Number.isNaN(whole)) return null;
  return whole + Number(match[3] ?? 0) * 1000;
}

export function toRfc3339(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** Value of an `<input type="datetime-local">` (no zone: local time) to Unix milliseconds. */
export function parseLocalInput(value: string): number | null {
  const match = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?$/.exec(value);
  if (!match) return null;
  const ms = new Date(value).getTime();
  return Number.isNaN(ms) ? null : ms;
}

const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0');

function localDate(date: Date): string {
  return `${pad(date.getFullYear(), 4)}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
}

export function formatLocalInput(wallMs: number): string {
  return `${localDate(new Date(wallMs))}T${formatClock(wallMs)}`;
}

export function formatDate(wallMs: number): string {
  return localDate(new Date(wallMs));
}

/** Local time of day, 24 hours. */
export function formatClock(wallMs: number): string {
  const date = new Date(wallMs);
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

export function formatClockMs(wallMs: number): string {
  return `${formatClock(wallMs)}.${pad(new Date(wallMs).getMilliseconds(), 3)}`;
}

/** With the date when it is not the day of `nowMs`. */
export function formatMoment(wallMs: number, nowMs: number): string {
  const sameDay = formatDate(wallMs) === formatDate(nowMs);
  return sameDay ? formatClock(wallMs) : `${formatDate(wallMs)} ${formatClock(wallMs)}`;
}

export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
