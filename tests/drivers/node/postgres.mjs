// postgres.js, as applications use it.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import postgres from 'postgres';

import {
  CROWD, CROWD_DATABASE, authority, checkServers, digest, fails, otherAuthority, play, see, waitUntil,
} from './stage.mjs';

// Runs an action with a pool of its own; without notices on the console.
async function withSql(options, action) {
  const sql = postgres({ onnotice: () => {}, ...options });
  try {
    return await action(sql);
  } finally {
    await sql.end();
  }
}

async function connecting() {
  const connection = { application_name: 'report', search_path: 'archive,public', statement_timeout: 9000 };
  await withSql({ connection }, async (sql) => {
    for (const name of Object.keys(connection)) see(name, ...(await sql`select current_setting(${name}) as value`));
    see('parameters', sql.parameters.application_name, sql.parameters.server_encoding);
  });
  await fails('wrong password', withSql({ password: 'wrong' }, (sql) => sql`select 1`));
  for (const ssl of ['require', { ca: authority }]) {
    await withSql({ ssl }, async (sql) => {
      see('TLS', ...(await sql`select 1 as a`));
      see('large over TLS', digest((await sql`select repeat('x', 3000000) as x`)[0].x));
    });
  }
  const refused = await withSql({ ssl: { ca: otherAuthority } }, (sql) => sql`select 1`).catch(() => 'refused');
  see('not our authority', refused);
}

async function types() {
  await withSql({}, async (sql) => {
    await sql`create type mood as enum ('sad', 'glad')`;
    const [row] = await sql`
      select ${5}::int4 as int4, ${'9007199254740993'}::int8 as int8, ${0.1}::float8 as float8, ${true}::bool as bool,
        ${"it's ü ✓"}::text as text, ${Buffer.from([0, 255])}::bytea as bytea, ${'1.50'}::numeric as numeric,
        ${new Date('2024-02-29T12:00:00Z')}::timestamptz as at, ${sql.json({ a: [1, null] })}::jsonb as jsonb,
        ${sql.array([1, 2, 3])}::int4[] as ints, ${sql.array(['a,b', '"'])}::text[] as texts,
        ${'glad'}::mood as mood, ${'[1,5)'}::int4range as range, ${null}::text as nothing`;
    see('row', row);
  });
}

async function statements() {
  await withSql({ max: 3 }, async (sql) => {
    await sql`create table item (id serial primary key, name text unique, price numeric)`;
    const items = Array.from({ length: 50 }, (_, number) => ({ name: `item ${number}`, price: number }));
    see('inserted', (await sql`insert into item ${sql(items, 'name', 'price')} returning id`).length);
    see('in', await sql`select name from item where id in ${sql([3, 1, 2])} order by id`);
    see('update', (await sql`update item set ${sql({ price: 99 }, 'price')} where id = 1`).count);
    see('fragments', ...(await sql`select ${sql('name')} from ${sql('item')} ${sql`where price > ${48}`} order by id`));
    // Pipelined over three connections, each with its named statements.
    const answers = await Promise.all(Array.from({ length: 300 }, (_, number) => sql`select ${number}::int as n`));
    see('pipelined', answers.every(([{ n }], number) => n === number));
    await fails('unique', sql`insert into item (name) values (${'item 1'})`);
    await fails('syntax', sql`selekt 1`);
    await fails('bad parameter', sql`select ${'x'}::int`);
    see('simple', await sql`select 1 as a; select 2 as b`.simple());
    see('unsafe', await sql.unsafe('select $1::int as a', [3]), await sql.unsafe('select 1 as a; select 2 as a'));
    see('values', await sql`select 1 as a, 'x' as b`.values(), await sql`select 'ü' as a`.raw());
    see('described', (await sql`select name, price from item where id = ${1}`.describe()).columns.map(({ name }) => name));
    const large = 'ü'.repeat(4_000_000);
    see('large', digest((await sql`select ${large}::text as large`)[0].large));
    await sql`alter table item add column more int default 7`;
    see('star', ...(await sql`select * from item where id = ${1}`));
  });
  const notices = [];
  await withSql({ onnotice: ({ message }) => notices.push(message) }, (sql) =>
    sql`do $$ begin raise notice 'mind the gap'; end $$`.simple());
  see('notices', notices);
}

async function transactions() {
  await withSql({ max: 2 }, async (sql) => {
    await sql`create table account (id int primary key, amount int)`;
    const result = await sql.begin('isolation level serializable', async (tx) => {
      await tx`insert into account values (1, 10)`;
      await fails('savepoint', tx.savepoint((inner) => inner`insert into account values (1, 20)`));
      await tx`set local work_mem = '3MB'`;
      return tx`select current_setting('work_mem') as work_mem, pg_try_advisory_xact_lock(5) as lock, amount from account`;
    });
    see('committed', ...result);
    await fails('rolled back', sql.begin(async (tx) => {
      await tx`delete from account`;
      throw new Error('the application');
    }));
    const pipelined = await sql.begin((tx) => [tx`select 1 as a`, tx`update account set amount = 11`, tx`select 2 as a`]);
    see('pipelined', pipelined.map((rows) => [rows.command, rows.count]));
    await fails('read only', sql.begin('read only', (tx) => tx`delete from account`));
    const reserved = await sql.reserve();
    await reserved`set statement_timeout = '30ms'`;
    await fails('timeout', reserved`select pg_sleep(20)`);
    await reserved`reset statement_timeout`;
    reserved.release();
    see('left', ...(await sql`select * from account`));
  });
}

async function copying_and_cursors() {
  await withSql({ max: 1 }, async (sql) => {
    await sql`create table bulk (id int, name text)`;
    const lines = Array.from({ length: 20_000 }, (_, number) => `${number}\tname ${number}\n`);
    await pipeline(Readable.from(lines), await sql`copy bulk from stdin`.writable());
    const chunks = [];
    const output = await sql`copy (select * from bulk order by id desc) to stdout`.readable();
    for await (const chunk of output) chunks.push(chunk);
    see('out', digest(Buffer.concat(chunks)));
  });
  // On other connections: straight to Postgres as well, postgres.js at times hangs in a cursor right after a COPY.
  await withSql({ max: 1 }, async (sql) => {
    let sum = 0;
    for await (const rows of sql`select id from bulk order by id`.cursor(700)) sum += rows.reduce((all, { id }) => all + id, 0);
    see('cursor', sum);
    await sql`select id from bulk order by id`.cursor(10, ([row]) => (see('left early', row), sql.CLOSE));
    let rows = 0;
    await sql`select * from bulk`.forEach(() => (rows += 1));
    see('forEach', rows);
  });
}

async function notifications() {
  await withSql({ max: 2 }, async (sql) => {
    const heard = [];
    const { unlisten } = await sql.listen('news', (payload) => heard.push(payload));
    await sql.notify('news', 'first ü');
    await sql.begin((tx) => tx`select pg_notify('news', 'second')`);
    await waitUntil(() => heard.length === 2);
    see('heard', heard);
    await unlisten();
  });
}

async function cancelling() {
  await withSql({ max: 2 }, async (sql) => {
    const text = 'select pg_sleep(30)';
    const sleeping = sql.unsafe(text);
    const ended = sleeping.catch((error) => error.code);
    const running = () => sql`select 1 from pg_stat_activity where state = 'active' and query = ${text}`;
    await waitUntil(async () => (await running()).length === 1);
    sleeping.cancel();
    see('cancelled', await ended, ...(await sql`select 'fine' as a`));
  });
}

async function crowd() {
  await withSql({}, (sql) => sql`create table tally (total int); insert into tally values (0)`.simple());
  // Ten times as many pipelined queries as connections, three times as many connections as servers.
  await withSql({ database: CROWD_DATABASE, max: CROWD, ssl: { ca: authority } }, async (sql) => {
    const pids = await Promise.all(Array.from({ length: 200 }, (_, number) => sql.begin(async (tx) => {
      await tx`update tally set total = total + ${1}`;
      const [{ pid, answer }] = await tx`select pg_backend_pid() as pid, ${number}::int as answer`;
      if (answer !== number) throw new Error(`${answer} instead of ${number}`);
      return pid;
    })));
    const answers = await Promise.all(Array.from({ length: 500 }, (_, number) => sql`select ${number}::int as n`));
    see('tally', ...(await sql`select total from tally`), answers.every(([{ n }], number) => n === number));
    checkServers(pids);
  });
}

await play(connecting, types, statements, transactions, copying_and_cursors, notifications, cancelling, crowd);
