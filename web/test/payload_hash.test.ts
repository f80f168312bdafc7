import { describe, expect, test } from 'vitest';
import { withPayloadHash } from '../src/payload_hash';

const told = async (init: RequestInit): Promise<string | null> =>
  new Headers((await withPayloadHash(init)).headers).get('x-amz-content-sha256');

describe('the hash that CloudFront asks callers for', () => {
  // By sha256sum.
  test('of a body', async () => {
    const body = JSON.stringify({ user: 'alice', password: 'ünïcode' });
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body };
    expect(await told(init)).toBe('cf19b17c0db0fd6ed17eaa8d1443ac73736d207fb5b20e0a956b40db960a90ef');
    expect(new Headers((await withPayloadHash(init)).headers).get('Content-Type')).toBe('application/json');
  });

  test('of none', async () => {
    expect(await told({ method: 'POST' })).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  test('not where nothing is sent', async () => {
    expect(await told({})).toBeNull();
    expect(await told({ method: 'DELETE' })).toBeNull();
  });
});
