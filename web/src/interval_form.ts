// Choosing an interval: two local times, or "the last ...".
import { element } from './dom';
import { text } from './text';
import { formatLocalInput, parseLocalInput } from './time_format';
import type { Interval } from './windows';

const kMaxInterval_ms = 7 * 24 * 3_600_000;

export class IntervalForm {
  private readonly form = element('interval', HTMLFormElement);
  private readonly from = element('interval-from', HTMLInputElement);
  private readonly to = element('interval-to', HTMLInputElement);
  private readonly error = element('interval-error', HTMLElement);

  constructor(onPlay: (interval: Interval) => void) {
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      const checked = checkInterval(parseLocalInput(this.from.value), parseLocalInput(this.to.value), Date.now());
      this.error.textContent = typeof checked === 'string' ? checked : '';
      if (typeof checked !== 'string') onPlay(checked);
    });
    for (const button of this.form.querySelectorAll<HTMLButtonElement>('button[data-last-minutes]')) {
      button.addEventListener('click', () => {
        const to = Date.now();
        const interval = { from: to - Number(button.dataset['lastMinutes']) * 60_000, to };
        this.set(interval);
        onPlay(interval);
      });
    }
  }

  set(interval: Interval): void {
    this.from.value = formatLocalInput(interval.from);
    this.to.value = formatLocalInput(interval.to);
    this.error.textContent = '';
  }
}

/** The interval to play, or what is wrong with it. The future has no recordings: `to` is at most now. */
export function checkInterval(from: number | null, to: number | null, nowMs: number): Interval | string {
  if (from === null || to === null) return text.badTime;
  if (from >= to) return text.emptyInterval;
  if (from >= nowMs) return text.futureInterval;
  if (to - from > kMaxInterval_ms) return text.longInterval;
  return { from, to: Math.min(to, nowMs) };
}
