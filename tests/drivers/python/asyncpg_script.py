"""asyncpg, as applications use it."""

import asyncio
import datetime as dt
import io
import json
import ssl
import uuid
from decimal import Decimal

import asyncpg
import stage
from stage import digest, fails, see


async def connecting() -> None:
    settings = {"application_name": "report", "search_path": "archive,public", "statement_timeout": "9s"}
    conn = await asyncpg.connect(server_settings=settings)
    for name in settings:
        see(name, await conn.fetchval("select current_setting($1)", name))
    see("settings", conn.get_settings().application_name, conn.get_server_version()[:1])
    await conn.close()
    with fails("wrong password", asyncpg.InvalidPasswordError):
        await asyncpg.connect(password="wrong")
    trusting = ssl.create_default_context(cafile=stage.AUTHORITY_FILE)
    for how in ("require", trusting):
        conn = await asyncpg.connect(ssl=how)
        see("TLS", await conn.fetchval("select 1"), conn._transport.get_extra_info("cipher") is not None)
        await conn.close()
    with fails("not our authority", ssl.SSLCertVerificationError):
        await asyncpg.connect(ssl=ssl.create_default_context(cafile=stage.OTHER_AUTHORITY_FILE))


async def types() -> None:
    conn = await asyncpg.connect()
    await conn.execute("create type mood as enum ('sad', 'glad')")
    await conn.execute("create type place as (name text, mood mood)")
    await conn.execute("create domain positive as int check (value > 0)")
    values = [
        ("int2", 7), ("int8", 2**62), ("numeric", Decimal("-1.5e-7")), ("float8", 0.1), ("bool", False),
        ("text", "ü'✓"), ("bytea", bytes(range(256))), ("date", dt.date(1969, 7, 20)),
        ("interval", dt.timedelta(days=40, seconds=1)),
        ("timestamptz", dt.datetime(2024, 2, 29, tzinfo=dt.timezone.utc)), ("uuid", uuid.UUID(int=3)),
        ("jsonb", '{"a": 1}'), ("int4[]", [[1, 2], [3, None]]), ("text[]", ["a", None]),
        ("int4range", asyncpg.Range(1, 5)), ("mood", "glad"), ("place", ("here", "sad")), ("place[]", [("x", None)]),
        ("positive", 5), ("inet", "10.0.0.1"), ("text", None),
    ]  # fmt: skip
    for type_name, value in values:
        see(type_name, await conn.fetchval(f"select $1::{type_name}", value))
    await conn.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    see("codec", await conn.fetchval("select $1::jsonb", {"a": [1, None]}))
    see("record", dict(await conn.fetchrow("select 1 as a, (2, 'x') as b")))
    await conn.close()


async def statements() -> None:
    conn = await asyncpg.connect()
    await conn.execute("create table item (id int primary key, name text); create index on item (name)")
    await conn.executemany("insert into item values ($1, $2)", [(number, f"item {number}") for number in range(500)])
    see("unique", await conn.fetchval("select count(*) from item"))
    with fails("executemany", asyncpg.UniqueViolationError):
        await conn.executemany("insert into item values ($1, $2)", [(1000, "a"), (1, "b"), (1001, "c")])
    see("nothing of it", await conn.fetchval("select max(id) from item"))
    statement = await conn.prepare("select name from item where id = $1")
    see("prepared", [await statement.fetchval(number) for number in range(3)], statement.get_parameters()[0].name)
    see(
        "executemany returning",
        await conn.fetchmany("insert into item values ($1, 'x') returning id", [(2000,), (2001,)]),
    )
    see("status", await conn.execute("update item set name = 'y' where id > $1", 1990))
    await conn.execute("alter table item add column more int default 7")
    see("after alter", dict(await conn.fetchrow("select * from item where id = $1", 1)))
    await conn.execute("alter table item drop column more")
    see("after drop", dict(await conn.fetchrow("select * from item where id = $1", 1)))
    messages: list[str] = []
    conn.add_log_listener(lambda _, message: messages.append(message.message))
    await conn.execute("do $$ begin raise notice 'mind the gap'; end $$")
    see("notices", messages)
    large = "ü" * 4_000_000
    see("large", digest(await conn.fetchval("select $1::text || 'x'", large)))
    await conn.close()


async def transactions() -> None:
    conn = await asyncpg.connect()
    async with conn.transaction(isolation="serializable"):
        see("isolation", await conn.fetchval("show transaction_isolation"))
        with fails("inner", asyncpg.DivisionByZeroError):
            async with conn.transaction():
                await conn.execute("select 1/0")
        await conn.execute("set local work_mem = '2MB'")
        see("local", await conn.fetchval("show work_mem"), await conn.fetchval("select pg_try_advisory_xact_lock(1)"))
    with fails("read only", asyncpg.ReadOnlySQLTransactionError):
        async with conn.transaction(readonly=True):
            await conn.execute("create table never (a int)")
    with fails("by the application", ZeroDivisionError):
        async with conn.transaction():
            await conn.execute("create table never (a int)")
            _ = 1 / 0
    see("rolled back", await conn.fetchval("select to_regclass('never')"))
    async with conn.transaction():
        see(
            "cursor", sum([row[0] async for row in conn.cursor("select generate_series(1, $1::int)", 500, prefetch=40)])
        )
        cursor = await conn.cursor("select generate_series(1, 100)")
        see("fetch", await cursor.fetch(2), await cursor.forward(50), await cursor.fetchrow())
    await conn.close()


async def copying() -> None:
    conn = await asyncpg.connect()
    await conn.execute("create table bulk (id int, name text)")
    records = [(number, f"name {number}" if number % 5 else None) for number in range(20_000)]
    see("records", await conn.copy_records_to_table("bulk", records=records))
    see("csv", await conn.copy_to_table("bulk", source=io.BytesIO(b"1,a\n2,b\n"), format="csv"))
    output = io.BytesIO()
    see("out", await conn.copy_from_query("select * from bulk where id > $1 order by 1", 100, output=output))
    see("bytes", digest(output.getvalue()))
    with fails("bad row", asyncpg.BadCopyFileFormatError):
        await conn.copy_to_table("bulk", source=io.BytesIO(b"1,a,too many\n"), format="csv")
    see("count", await conn.fetchval("select count(*) from bulk"))
    await conn.close()


async def cancelling() -> None:
    conn = await asyncpg.connect()
    with fails("timeout", asyncio.TimeoutError):
        await conn.fetch("select pg_sleep(30)", timeout=0.2)
    see("goes on", await conn.fetchval("select 'fine'"))
    task = asyncio.create_task(conn.fetch("select pg_sleep(30)"))
    await asyncio.sleep(0.2)
    task.cancel()
    with fails("task cancelled", asyncio.CancelledError):
        await task
    see("goes on", await conn.fetchval("select 'fine'"))
    await conn.close()


async def notifications() -> None:
    conn, other = await asyncpg.connect(), await asyncpg.connect()
    heard: asyncio.Queue[str] = asyncio.Queue()
    await conn.add_listener("news", lambda _conn, _pid, _channel, payload: heard.put_nowait(payload))
    await other.execute("notify news, 'one'; notify news, 'two'")
    see("heard", [await asyncio.wait_for(heard.get(), 10) for _ in range(2)])
    await conn.close()
    await other.close()


async def sessions_in_a_pool() -> None:
    """The pool of the driver with all its defaults: named statements, and a reset after each use."""
    async with asyncpg.create_pool(min_size=3, max_size=3) as pool:

        async def work(number: int) -> int:
            async with pool.acquire() as conn, conn.transaction():
                return int(await conn.fetchval("select $1::int + 1", number))

        see("pool", sum(await asyncio.gather(*(work(number) for number in range(60)))))


async def crowd() -> None:
    conn = await asyncpg.connect()
    await conn.execute("create table tally (total int); insert into tally values (0)")

    async def work(client: int) -> set[int]:
        pids = set()
        own = await asyncpg.connect(database=stage.CROWD_DATABASE)
        for number in range(30):
            async with own.transaction():
                await own.execute("update tally set total = total + $1", 1)
                pid, answer = await own.fetchrow("select pg_backend_pid(), $1::int", 1000 * client + number)
                assert answer == 1000 * client + number, answer
                pids.add(pid)
        await own.close()
        return pids

    pids = await asyncio.gather(*(work(client) for client in range(2 * stage.CROWD)))
    see("tally", await conn.fetchval("select total from tally"))
    await conn.close()
    stage.check_servers(set().union(*pids))


async def play() -> None:
    parts = (
        connecting, types, statements, transactions, copying, cancelling, notifications, sessions_in_a_pool, crowd,
    )  # fmt: skip
    for part in parts:
        print(f"== {part.__name__}", flush=True)
        await part()


def all_parts() -> None:
    asyncio.run(play())


stage.play(all_parts)
