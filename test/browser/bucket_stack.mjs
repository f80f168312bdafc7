// A real S3 server behind a proxy that can be slow: test/integration/bucket_stack.py.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { mkdir } from 'node:fs/promises';

const kProgram = fileURLToPath(new URL('../integration/bucket_stack.py', import.meta.url));
const kPython = process.env.MIHARU_PYTHON ?? join(process.env.MIHARU_CACHE ?? join(homedir(), '.cache/miharu'), 'python-tests/bin/python');

export async function startBucket(folder) {
  await mkdir(folder, { recursive: true });
  const program = spawn(kPython, [kProgram, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error('the S3 server ended');
    return JSON.parse(value);
  };
  const about = await next();
  // Answers come in the order of the questions.
  let turn = Promise.resolve();
  const ask = (told) => {
    turn = turn.then(() => {
      program.stdin.write(`${JSON.stringify(told)}\n`);
      return next();
    });
    return turn;
  };
  return {
    ...about,
    /** The recorder reaches the store through the proxy, everybody else directly. */
    config: (more = '') => `[cloud]\nurl = "${about.url}"\nendpoint = "${about.proxy}"\nrelay = "${about.relay}"\n${more}`,
    env: (who) => ({
      AWS_ACCESS_KEY_ID: about.keys[who][0],
      AWS_SECRET_ACCESS_KEY: about.keys[who][1],
      AWS_REGION: 'us-east-1',
      AWS_ENDPOINT_URL: about.endpoint,
    }),
    keys: (below) => ask({ keys: below }),
    put: (key, size) => ask({ put: [key, size] }),
    proxy: ask,
    async stop() {
      if (program.exitCode !== null) return;
      program.stdin.end();
      await once(program, 'exit');
    },
  };
}
