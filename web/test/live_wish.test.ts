import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { LiveWish } from '../src/live/live_wish';

const kBase = 'https://example.org/cameras/';
const kWish = `${kBase}api/v1/cameras/front/live`;
const kPlaylist = 'media/r1/live/front/s1/live.m3u8';

let asked: string[];
let told: string[];
let answers: { wish: () => Response | Promise<Response>; playlist: () => Response };
let wish: LiveWish;

const granted = (playlist = kPlaylist): Response => Response.json({ playlist, again_ms: 10_000 });
const missing = (): Response => new Response('', { status: 404 });
const list = (text: string): Response => new Response(text);

function make(): void {
  const fetcher = async (address: string, init: RequestInit): Promise<Response> => {
    asked.push(`${init.method} ${address.slice(kBase.length)}`);
    return init.method === 'POST' ? answers.wish() : answers.playlist();
  };
  wish = new LiveWish(fetcher, kWish, kBase, {
    onWaiting: (waiting) => told.push(waiting),
    onPlaylist: (address) => told.push(`plays ${address.slice(kBase.length)}`),
    onEnd: (error) => told.push(`ends: ${error.kind}`),
  });
}

const wishes = (): number => asked.filter((each) => each.startsWith('POST')).length;
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
  asked = [];
  told = [];
  answers = { wish: () => granted(), playlist: () => missing() };
});

afterEach(() => {
  wish.stop();
  vi.useRealTimers();
});

describe('asking a recorder', () => {
  test('waits for pictures, plays, and goes on asking each 10 s until it is stopped', async () => {
    make();
    await pass(3000);
    expect(told).toEqual(['asking']);
    expect(asked.slice(0, 2)).toEqual(['POST api/v1/cameras/front/live', `GET ${kPlaylist}`]);
    answers.playlist = () => list('#EXTM3U\n#EXTINF:1.000,\na.mp4\n');
    await pass(500);
    expect(told).toEqual(['asking', `plays ${kPlaylist}`]);
    const looks = asked.length;
    await pass(30_000);
    expect(wishes()).toBe(4);
    expect(asked.length - looks).toBe(3); // nothing but wishes
    wish.stop();
    await pass(60_000);
    expect(wishes()).toBe(4);
  });

  test('a camera without pictures, and a recorder that is away', async () => {
    make();
    await pass(19_000);
    expect(told).toEqual(['asking']);
    await pass(2000);
    expect(told).toEqual(['asking', 'recorder_away']);
    answers.playlist = () => list('#EXTM3U\n');
    await pass(500);
    expect(told).toEqual(['asking', 'recorder_away', 'camera_away']);
    answers.playlist = () => list('#EXTM3U\n#EXTINF:1.000,\na.mp4\n');
    await pass(500);
    expect(told.at(-1)).toBe(`plays ${kPlaylist}`);
  });

  test('one that is not answered is repeated in time for the one before to hold', async () => {
    make();
    await pass(100);
    answers.wish = () => Promise.reject(new TypeError('away'));
    await pass(14_000);
    expect(wishes()).toBe(4); // at 10, 12 and 14 s
    expect(told).toEqual(['asking']);
    answers.wish = () => granted();
    await pass(2000);
    expect(wishes()).toBe(5);
  });

  test('what cannot be asked ends', async () => {
    answers.wish = () => Response.json({ detail: 'live view is at the recorder' }, { status: 501 });
    make();
    await pass(100);
    expect(told).toEqual(['asking', 'ends: unsupported']);
    await pass(60_000);
    expect(asked).toHaveLength(1);
  });

  test('signed out, and another session after a sleep', async () => {
    make();
    await pass(100);
    answers.wish = () => granted('media/r1/live/front/s2/live.m3u8');
    await pass(10_000);
    expect(told.at(-1)).toBe('ends: lost');
    told = [];
    make();
    await pass(100);
    answers.wish = () => new Response('', { status: 401 });
    await pass(10_000);
    expect(told.at(-1)).toBe('ends: signed_out');
  });
});
