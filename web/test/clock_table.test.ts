import { describe, expect, test } from 'vitest';
import { ClockTable, parsePlaylist } from '../src/clock_table';

const kStart = Date.UTC(2026, 10, 21, 6, 0, 0);

const kPlaylist = `#EXTM3U
#EXT-X-VERSION:7
#EXT-X-TARGETDURATION:4
#EXT-X-MAP:URI="../../media/a.mp4",BYTERANGE="852@0"
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T06:00:00.000Z
#EXTINF:4.000,
#EXT-X-BYTERANGE:100@852
../../media/a.mp4
#EXTINF:2.500,title, with commas
#EXT-X-BYTERANGE:100@952
../../media/a.mp4
#EXT-X-DISCONTINUITY
#EXT-X-PROGRAM-DATE-TIME:2026-11-21T07:01:00.000+01:00
#EXTINF:4.000,
../../media/b.mp4
#EXT-X-ENDLIST
`;

describe('parsePlaylist', () => {
  test('media time runs on over a gap, the wall clock jumps', () => {
    const { table, ended } = parsePlaylist(kPlaylist);
    expect(ended).toBe(true);
    expect(table.entries).toEqual([
      { mediaStart: 0, duration: 4, wallStart: kStart },
      { mediaStart: 4, duration: 2.5, wallStart: kStart + 4000 },
      { mediaStart: 6.5, duration: 4, wallStart: kStart + 60_000 },
    ]);
    expect(table.wallStart).toBe(kStart);
    expect(table.wallEnd).toBe(kStart + 64_000);
  });

  test('an interval without recording is a list without segments', () => {
    const { table, ended } = parsePlaylist('#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-ENDLIST\n');
    expect(table.empty).toBe(true);
    expect(ended).toBe(true);
    expect(table.toWall(0)).toBeNull();
    expect(table.toMedia(kStart)).toBeNull();
    expect(table.wallEnd).toBeNull();
  });

  test('lines may end in CR LF; a list that grows has no end', () => {
    const { table, ended } = parsePlaylist(kPlaylist.replace('#EXT-X-ENDLIST\n', '').replaceAll('\n', '\r\n'));
    expect(table.entries).toHaveLength(3);
    expect(ended).toBe(false);
  });

  test('the date of a later object of the same run corrects rounded durations', () => {
    const entry = (date: string): string => `#EXT-X-PROGRAM-DATE-TIME:${date}\n#EXTINF:0.033,\nx.mp4\n`;
    const { table } = parsePlaylist(`#EXTM3U\n${entry('2026-11-21T06:00:00.000Z')}${entry('2026-11-21T06:00:00.034Z')}`);
    expect(table.entries[1]!.mediaStart).toBeCloseTo(0.034, 9);
  });

  test('segments before the first date have no clock but take their time', () => {
    const { table } = parsePlaylist(
      '#EXTM3U\n#EXTINF:3,\na.mp4\n#EXT-X-PROGRAM-DATE-TIME:2026-11-21T06:00:00Z\n#EXTINF:1,\nb.mp4\n',
    );
    expect(table.entries).toEqual([{ mediaStart: 3, duration: 1, wallStart: kStart }]);
  });
});

describe('ClockTable', () => {
  const { table } = parsePlaylist(kPlaylist);

  test.each([
    ['before the first picture', -0.1, null],
    ['the first picture', 0, kStart],
    ['inside', 5.25, kStart + 5250],
    ['the first picture after the gap', 6.5, kStart + 60_000],
    ['the end', 10.5, kStart + 64_000],
    ['after the end', 99, kStart + 64_000],
  ])('toWall: %s', (_name, mediaTime, wallMs) => {
    expect(table.toWall(mediaTime)).toBe(wallMs);
  });

  test.each([
    ['before the first picture: the first', -1000, { mediaTime: 0, exact: false }],
    ['the first picture', 0, { mediaTime: 0, exact: true }],
    ['inside', 5250, { mediaTime: 5.25, exact: true }],
    ['in the gap: the first picture after it', 30_000, { mediaTime: 6.5, exact: false }],
    ['after the gap', 61_000, { mediaTime: 7.5, exact: true }],
    ['at the end: nothing', 64_000, null],
  ])('toMedia: %s', (_name, offset_ms, position) => {
    expect(table.toMedia(kStart + offset_ms)).toEqual(position);
  });

  test('a hole of rounding between neighbours is no gap', () => {
    const joined = new ClockTable([
      { mediaStart: 0, duration: 0.999, wallStart: kStart },
      { mediaStart: 0.999, duration: 1, wallStart: kStart + 1000 },
    ]);
    expect(joined.toMedia(kStart + 999.5)).toEqual({ mediaTime: 0.999, exact: true });
  });
});
