// Where the scripts connect, how they say what they saw, and what runs them: see stage.py beside.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { inspect } from 'node:util';

export const authority = readFileSync(process.env.PGWEIR_TEST_AUTHORITY, 'utf8');
export const otherAuthority = readFileSync(process.env.PGWEIR_TEST_OTHER_AUTHORITY, 'utf8');

// The same database as PGDATABASE, but through pgweir it has fewer servers than CROWD clients.
export const CROWD_DATABASE = process.env.PGWEIR_TEST_CROWD_DATABASE;
export const CROWD = 6;
// How many servers it has; unset without pgweir.
const CROWD_SERVERS = process.env.PGWEIR_TEST_CROWD_SERVERS;

// Prints what must be the same with and without pgweir.
export function see(name, ...values) {
  const options = { depth: 5, breakLength: 200, compact: true, sorted: true };
  console.log(`${name}:`, ...values.map((value) => inspect(value, options)));
}

// Stands for a large value.
export function digest(data) {
  return `${Buffer.byteLength(data)} bytes, ${createHash('sha256').update(data).digest('hex').slice(0, 16)}`;
}

// Expects an error, and sees what an application would look at.
export async function fails(name, action) {
  let value;
  try {
    value = await (typeof action === 'function' ? action() : action);
  } catch (error) {
    see(name, error.code, error.message, error.constraint_name ?? error.constraint ?? null);
    return;
  }
  assert.fail(`${name}: no error, but ${inspect(value)}`);
}

// Waits for what happens on another connection.
export async function waitUntil(condition) {
  const end = Date.now() + 10_000;
  while (!(await condition())) {
    assert(Date.now() < end, 'it did not happen');
    await delay(10);
  }
}

// A crowd had no more servers than it may have.
export function checkServers(pids) {
  const servers = new Set(pids).size;
  assert(CROWD_SERVERS === undefined || servers <= Number(CROWD_SERVERS), `${servers} servers`);
}

// Runs the parts of a script; says which one hangs.
export async function play(...parts) {
  for (const part of parts) {
    console.log(`== ${part.name}`);
    const began = Date.now();
    const late = setTimeout(() => {
      console.error(`${part.name} hangs`);
      process.exit(1);
    }, 30_000);
    await part();
    clearTimeout(late);
    console.error(`${part.name}: ${Date.now() - began} ms`);
  }
}
