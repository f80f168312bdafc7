import { describe, expect, test } from 'vitest';
import { captureTime, SenderClock } from '../src/live/capture_clock';

const kNow = Date.UTC(2026, 10, 21, 6, 0, 0);
const kNtp = Date.UTC(1970, 0, 1) - Date.UTC(1900, 0, 1);

describe('when a picture was taken', () => {
  test('from NTP, corrected to the clock of the sender', () => {
    expect(captureTime({ captureTimestamp: kNow + kNtp })).toBe(kNow);
    expect(captureTime({ captureTimestamp: kNow + kNtp + 500, senderCaptureTimeOffset: 500 })).toBe(kNow);
  });

  test('not said', () => {
    expect(captureTime(undefined)).toBeNull();
    expect(captureTime({})).toBeNull();
  });
});

describe('how old it is', () => {
  test('this clock is believed until a sender report comes', () => {
    expect(new SenderClock().age_ms(kNow - 120, kNow)).toBe(120);
  });

  test.each([0, kNtp])('a clock that is 90 s behind does not matter (remote times since 1970 + %i ms)', (since) => {
    const clock = new SenderClock();
    const here = kNow - 90_000;
    clock.update({ timestamp: here, remoteTimestamp: kNow - 20 + since }, 40);
    expect(clock.age_ms(kNow - 150, here)).toBe(150);
    expect(clock.now(here)).toBe(kNow);
  });

  test('a report that was late on its way hardly counts, and the same one once', () => {
    const clock = new SenderClock();
    clock.update({ timestamp: kNow, remoteTimestamp: kNow }, 0);
    clock.update({ timestamp: kNow + 1000, remoteTimestamp: kNow + 920 }, 0);
    clock.update({ timestamp: kNow + 1000, remoteTimestamp: kNow + 920 }, 0);
    expect(clock.now(kNow + 1000)).toBe(kNow + 990);
    clock.update({ timestamp: kNow + 2000, remoteTimestamp: kNow + 2000 }, 0);
    expect(clock.now(kNow + 2000)).toBe(kNow + 2000);
  });

  test('never negative, and nothing when the times have no relation', () => {
    const clock = new SenderClock();
    expect(clock.age_ms(kNow + 30, kNow)).toBe(0);
    expect(clock.age_ms(0, kNow)).toBeNull();
  });
});
