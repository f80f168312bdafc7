// The timeline bar: what was recorded, what was not and why, the time of the picture; a click seeks.
import type { Timeline } from './api';
import { element, show } from './dom';
import { text } from './text';
import { formatClock, formatDate, formatMoment } from './time_format';
import { TimelineScale, gapAt, spanAt, ticks } from './timeline_scale';

const kBarTop = 6;
const kBarHeight = 30;
const kLabelBaseline = 54;
const kLabelDistance = 76;
const kPointerSlack = 3;
const kMinute_ms = 60_000;

export class TimelineBar {
  private readonly canvas = element('timeline', HTMLCanvasElement);
  private readonly tip = element('timeline-tip', HTMLElement);
  private readonly colours: Record<'empty' | 'span' | 'gap' | 'label' | 'playhead' | 'hover', string>;
  private timeline: Timeline | null = null;
  private playhead: number | null = null;
  private hoverX: number | null = null;
  private drawPending = false;

  constructor(onSeek: (wallMs: number) => void) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(`--timeline-${name}`).trim();
    this.colours = {
      empty: colour('empty'),
      span: colour('span'),
      gap: colour('gap'),
      label: colour('label'),
      playhead: colour('playhead'),
      hover: colour('hover'),
    };
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
    this.canvas.addEventListener('pointermove', (event) => this.hover(event.offsetX));
    this.canvas.addEventListener('pointerleave', () => this.hover(null));
    this.canvas.addEventListener('click', (event) => {
      const wallMs = this.scale()?.wall(event.offsetX);
      if (wallMs !== undefined) onSeek(wallMs);
    });
  }

  get range(): { from: number; to: number } | null {
    return this.timeline;
  }

  setTimeline(timeline: Timeline | null): void {
    this.timeline = timeline && timeline.to > timeline.from ? timeline : null;
    this.hover(this.hoverX);
    this.describe();
  }

  setPlayhead(wallMs: number | null): void {
    if (wallMs === this.playhead) return;
    this.playhead = wallMs;
    this.redraw();
    this.describe();
  }

  private scale(): TimelineScale | null {
    if (!this.timeline || this.canvas.clientWidth === 0) return null;
    return new TimelineScale(this.timeline.from, this.timeline.to, this.canvas.clientWidth);
  }

  private describe(): void {
    if (!this.timeline) return;
    const attributes: Record<string, string> = {
      'aria-valuemin': String(Math.round(this.timeline.from / 1000)),
      'aria-valuemax': String(Math.round(this.timeline.to / 1000)),
      'aria-valuenow': String(Math.round((this.playhead ?? this.timeline.from) / 1000)),
      'aria-valuetext': this.playhead === null ? text.noPicture : `${formatDate(this.playhead)} ${formatClock(this.playhead)}`,
    };
    for (const [name, value] of Object.entries(attributes)) this.canvas.setAttribute(name, value);
  }

  private hover(x: number | null): void {
    this.hoverX = x;
    const scale = this.scale();
    if (x === null || !scale || !this.timeline) {
      show(this.tip, false);
    } else {
      this.tip.textContent = this.tipText(this.timeline, scale, x);
      show(this.tip, true);
      const half = this.tip.offsetWidth / 2;
      this.tip.style.left = `${Math.min(scale.width - half, Math.max(half, x))}px`;
    }
    this.redraw();
  }

  private tipText(timeline: Timeline, scale: TimelineScale, x: number): string {
    const wallMs = scale.wall(x);
    const gap = gapAt(timeline, wallMs, scale.wall(kPointerSlack) - scale.from);
    if (gap) return text.gap(formatClock(gap.start), formatClock(gap.end), gap.text || gap.reason);
    const moment = formatMoment(wallMs, Date.now());
    return spanAt(timeline, wallMs) ? moment : `${moment} · ${text.notRecorded}`;
  }

  private redraw(): void {
    if (this.drawPending) return;
    this.drawPending = true;
    requestAnimationFrame(() => {
      this.drawPending = false;
      this.draw();
    });
  }

  private draw(): void {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ratio = window.devicePixelRatio || 1;
    const context = this.canvas.getContext('2d');
    if (!context || width === 0) return;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    context.fillStyle = this.colours.empty;
    context.fillRect(0, kBarTop, width, kBarHeight);
    const scale = this.scale();
    if (!scale || !this.timeline) return;
    this.fillSpans(context, scale, this.timeline.spans, this.colours.span);
    this.fillSpans(context, scale, this.timeline.gaps, this.hatching(context, ratio));
    this.drawLabels(context, scale);
    if (this.hoverX !== null) this.drawLine(context, this.hoverX, 1, this.colours.hover);
    if (this.playhead !== null && this.playhead >= scale.from && this.playhead <= scale.to) {
      this.drawLine(context, scale.x(this.playhead), 3, this.colours.playhead);
    }
  }

  private fillSpans(
    context: CanvasRenderingContext2D,
    scale: TimelineScale,
    spans: readonly { start: number; end: number }[],
    style: string | CanvasPattern,
  ): void {
    context.fillStyle = style;
    for (const span of spans) {
      const left = Math.max(0, scale.x(span.start));
      const right = Math.min(scale.width, scale.x(span.end));
      if (right >= 0 && left <= scale.width) context.fillRect(left, kBarTop, Math.max(1, right - left), kBarHeight);
    }
  }

  /** Stripes, so that a gap is told from a recording without colours. */
  private hatching(context: CanvasRenderingContext2D, ratio: number): CanvasPattern | string {
    const size = Math.round(8 * ratio);
    const tile = new OffscreenCanvas(size, size);
    const brush = tile.getContext('2d');
    if (!brush) return this.colours.gap;
    brush.fillStyle = this.colours.empty;
    brush.fillRect(0, 0, size, size);
    brush.strokeStyle = this.colours.gap;
    brush.lineWidth = size * 0.3;
    for (const shift of [-size, 0, size]) {
      brush.beginPath();
      brush.moveTo(shift, size);
      brush.lineTo(shift + size, 0);
      brush.stroke();
    }
    const pattern = context.createPattern(tile, 'repeat');
    pattern?.setTransform(new DOMMatrix().scale(1 / ratio));
    return pattern ?? this.colours.gap;
  }

  private drawLabels(context: CanvasRenderingContext2D, scale: TimelineScale): void {
    context.font = '12px system-ui, sans-serif';
    context.fillStyle = this.colours.label;
    const offset_ms = -new Date(scale.from).getTimezoneOffset() * kMinute_ms;
    const { times, step_ms } = ticks(scale, kLabelDistance, offset_ms);
    for (const time of times) {
      const x = scale.x(time);
      context.fillRect(x, kBarTop + kBarHeight, 1, 5);
      const label = step_ms < kMinute_ms ? formatClock(time) : formatClock(time).slice(0, 5);
      const half = context.measureText(label).width / 2;
      const left = Math.min(scale.width - 2 * half, Math.max(0, x - half));
      context.fillText(label, left, kLabelBaseline);
    }
  }

  private drawLine(context: CanvasRenderingContext2D, x: number, width: number, style: string): void {
    context.fillStyle = style;
    context.fillRect(x - width / 2, 0, width, kBarTop * 2 + kBarHeight);
  }
}
