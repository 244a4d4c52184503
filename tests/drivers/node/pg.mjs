// node-postgres (pg), with its cursors and COPY streams, as applications use it.
import { once } from 'node:events';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import pg from 'pg';
import { from as copyFrom, to as copyTo } from 'pg-copy-streams';
import Cursor from 'pg-cursor';

import {
  CROWD, CROWD_DATABASE, authority, checkServers, digest, fails, otherAuthority, play, see, waitUntil,
} from './stage.mjs';

// Runs an action with a client of its own.
async function withClient(options, action) {
  const client = new pg.Client(options);
  await client.connect();
  try {
    return await action(client);
  } finally {
    await client.end();
  }
}

async function connecting() {
  const options = {
    application_name: 'report',
    statement_timeout: 9000,
    lock_timeout: 8000,
    idle_in_transaction_session_timeout: 7000,
    client_encoding: 'utf8',
    options: '-c search_path=archive,public -c work_mem=2MB',
  };
  await withClient(options, async (client) => {
    const names = [...Object.keys(options).filter((name) => name !== 'options'), 'search_path', 'work_mem'];
    for (const name of names) {
      const { rows } = await client.query('select current_setting($1) as value', [name]);
      see(name, rows[0].value);
    }
  });
  await fails('wrong password', withClient({ password: 'wrong' }, () => {}));
  await fails('unknown role', withClient({ user: 'nobody-knows-me' }, () => {}));
  for (const ssl of [{ rejectUnauthorized: false }, { ca: authority }]) {
    await withClient({ ssl }, async (client) => {
      see('TLS', (await client.query('select 1 as a')).rows, client.connection.stream.encrypted);
      see('large over TLS', digest((await client.query("select repeat('x', 3000000) as x")).rows[0].x));
    });
  }
  // Its message names what the certificate was issued by: only that it fails is of interest.
  const refused = await withClient({ ssl: { ca: otherAuthority } }, () => 'trusted').catch(() => 'refused');
  see('not our authority', refused);
}

async function types() {
  await withClient({}, async (client) => {
    await client.query("create type mood as enum ('sad', 'glad')");
    const values = [
      ['int4', -5], ['int8', '9007199254740993'], ['numeric', '1.50'], ['float8', 0.1], ['bool', true],
      ['text', "it's ü ✓ \\"], ['bytea', Buffer.from([0, 1, 255])], ['date', '2024-02-29'],
      ['timestamptz', new Date('2024-02-29T12:00:00Z')], ['interval', '3 days 04:05:06'], ['json', { a: [1, null] }],
      ['jsonb', { b: 'ü' }], ['int4[]', [1, null, 3]], ['text[][]', [['a', 'b,'], ['"', '']]],
      ['uuid', '00000000-0000-0000-0000-000000000005'], ['int4range', '[1,5)'], ['mood', 'glad'], ['mood[]', '{sad}'],
      ['point', '(1,2)'], ['text', null],
    ];
    for (const [type, value] of values) {
      see(type, (await client.query(`select $1::${type} as value`, [value])).rows[0].value);
    }
    // pg decodes few types from binary, so the bytes themselves.
    const binary = { text: "select 'ü'::text as text, '\\xff00'::bytea as bytes", binary: true };
    see('binary', (await client.query(binary)).rows);
    see('array', (await client.query({ text: 'select 1 as a, 2 as a', rowMode: 'array' })).rows);
  });
}

async function statements() {
  await withClient({}, async (client) => {
    await client.query('create table item (id serial primary key, name text unique)');
    const insert = { name: 'insert item', text: 'insert into item (name) values ($1) returning id' };
    for (let number = 0; number < 30; number += 1) {
      const { command, rows } = await client.query({ ...insert, values: [`item ${number}`] });
      if (number === 29) see('named', command, rows);
    }
    await fails('unique', client.query({ ...insert, values: ['item 1'] }));
    const several = await client.query('select 1 as a; select 2 as b; update item set name = upper(name) where id < 4');
    see('several', several.map((result) => [result.command, result.rowCount, result.rows]));
    see('empty', (await client.query('')).command);
    await fails('syntax', client.query('selekt 1'));
    await fails('wrong number of parameters', client.query('select $1::int', []));
    await fails('bad parameter', client.query('select $1::int', ['x']));
    await fails('prepared under another text', client.query({ name: 'insert item', text: 'select 1' }));
    await client.query('alter table item add column more int default 7');
    const star = { name: 'star', text: 'select * from item where id = $1', values: [1] };
    see('star', (await client.query(star)).rows);
    const notices = [];
    client.on('notice', (notice) => notices.push(`${notice.severity} ${notice.message}`));
    await client.query("do $$ begin raise notice 'mind the gap'; raise warning 'twice'; end $$");
    see('notices', notices);
    const large = 'ü'.repeat(4_000_000);
    see('large', digest((await client.query('select $1::text as large', [large])).rows[0].large));
    see('many', (await client.query('select generate_series(1, 100000) as n')).rows.length);
  });
}

async function transactions() {
  await withClient({}, async (client) => {
    await client.query('begin isolation level serializable');
    await client.query('create table account (id int primary key, amount int)');
    await client.query('insert into account values ($1, $2)', [1, 10]);
    await client.query('savepoint s');
    await fails('inside', client.query('insert into account values ($1, $2)', [1, 10]));
    await fails('failed', client.query('select 1'));
    await client.query('rollback to s');
    await client.query("set local work_mem = '3MB'");
    see('local', (await client.query("select current_setting('work_mem'), pg_try_advisory_xact_lock(5)")).rows);
    see('commit', (await client.query('commit')).command);
    await client.query('begin');
    await fails('division', client.query('select 1 / $1::int', [0]));
    see('commit of a failed one', (await client.query('commit')).command);
    await client.query("set statement_timeout = '30ms'");
    await fails('timeout', client.query('select pg_sleep(20)'));
    await client.query('reset all');
    see('reset', (await client.query('show statement_timeout')).rows);
  });
}

async function copying() {
  await withClient({}, async (client) => {
    await client.query('create table bulk (id int, name text)');
    const lines = Array.from({ length: 20_000 }, (_, number) => `${number}\tname ${number}\n`);
    const input = client.query(copyFrom('copy bulk from stdin'));
    await pipeline(Readable.from(lines), input);
    see('in', input.rowCount);
    const chunks = [];
    for await (const chunk of client.query(copyTo('copy (select * from bulk order by id desc) to stdout'))) {
      chunks.push(chunk);
    }
    see('out', digest(Buffer.concat(chunks)));
    await fails('bad row', pipeline(Readable.from(['x\ty\n']), client.query(copyFrom('copy bulk from stdin'))));
    see('count', (await client.query('select count(*) from bulk')).rows);
  });
}

async function cursors() {
  await withClient({}, async (client) => {
    const cursor = client.query(new Cursor('select generate_series(1, $1::int) as n', [1000]));
    let sum = 0;
    for (let rows = await cursor.read(70); rows.length > 0; rows = await cursor.read(70)) {
      sum += rows.reduce((total, { n }) => total + n, 0);
    }
    see('sum', sum);
    await cursor.close();
    const left = client.query(new Cursor('select generate_series(1, 100000) as n'));
    see('left early', await left.read(2));
    await left.close();
    see('goes on', (await client.query('select 1 as a')).rows);
  });
}

async function notifications() {
  await withClient({}, async (listener) => {
    const heard = [];
    listener.on('notification', ({ channel, payload }) => heard.push([channel, payload]));
    await listener.query('listen news');
    await withClient({}, async (speaker) => {
      await speaker.query('select pg_notify($1, $2)', ['news', 'first ü']);
      await speaker.query("begin; notify news, 'never'; rollback; notify news, 'second'");
    });
    if (heard.length < 2) await waitUntil(() => heard.length === 2);
    see('heard', heard);
  });
}

async function cancelling() {
  // pg gives the query up, and leaves it to run.
  const waiting = new pg.Client({ query_timeout: 200 });
  await waiting.connect();
  await fails('query_timeout', waiting.query('select pg_sleep(0.5)'));
  see('goes on', (await waiting.query({ text: "select 'fine' as a", query_timeout: 10_000 })).rows);
  await waiting.end();
  await withClient({}, async (client) => {
    const text = 'select pg_sleep(30)';
    const sleeping = client.query(text).catch((error) => error);
    await withClient({}, async (observer) => {
      const running = `select 1 from pg_stat_activity where state = 'active' and query = '${text}'`;
      await waitUntil(async () => (await observer.query(running)).rowCount === 1);
    });
    const cancel = new pg.Client();
    cancel.connection.once('connect', () => cancel.connection.cancel(client.processID, client.secretKey));
    cancel.connection.connect(cancel.port, cancel.host);
    await once(cancel.connection, 'end');
    see('cancelled', (await sleeping).code);
    see('goes on', (await client.query("select 'fine' as a")).rows);
  });
}

async function crowd() {
  await withClient({}, (client) => client.query('create table tally (total int); insert into tally values (0)'));
  const pool = new pg.Pool({ database: CROWD_DATABASE, max: CROWD, ssl: { ca: authority } });
  const pids = [];
  const work = async (number) => {
    const client = await pool.connect();
    await client.query('begin');
    await client.query({ name: 'add', text: 'update tally set total = total + $1', values: [1] });
    const text = 'select pg_backend_pid() as pid, $1::int as answer';
    const { rows } = await client.query({ name: 'ask', text, values: [number] });
    if (rows[0].answer !== number) throw new Error(`${rows[0].answer} instead of ${number}`);
    pids.push(rows[0].pid);
    await client.query('commit');
    client.release();
    const alone = await pool.query('select $1::text as answer', [`${number}`]);
    if (alone.rows[0].answer !== `${number}`) throw new Error(`${alone.rows[0].answer} instead of ${number}`);
  };
  await Promise.all(Array.from({ length: 300 }, (_, number) => work(number)));
  see('tally', (await pool.query('select total from tally')).rows, pool.totalCount);
  await pool.end();
  checkServers(pids);
}

await play(connecting, types, statements, transactions, copying, cursors, notifications, cancelling, crowd);
