"""psycopg 3, asynchronous, as applications use it."""

import asyncio

import psycopg
import stage
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool
from stage import digest, fails, first, see


async def statements() -> None:
    async with await AsyncConnection.connect(application_name="async", options="-c search_path=public") as conn:
        await conn.execute("create table item (id int primary key, name text)")
        async with conn.cursor() as cursor:
            await cursor.executemany(
                "insert into item values (%s, %s)", [(number, f"n{number}") for number in range(40)]
            )
            see("executemany", cursor.rowcount)
            await cursor.execute("select * from item where id = any(%s) order by id", [[3, 1, 2]], binary=True)
            see("array", await cursor.fetchall())
        with fails("unique", errors.UniqueViolation):
            async with conn.transaction():
                await conn.execute("insert into item values (1, 'again')")
        async with conn.cursor("stepwise") as cursor:
            await cursor.execute("select id from item order by id")
            see("named cursor", [row[0] async for row in cursor][-3:])
        async with conn.cursor() as cursor, cursor.copy("copy item to stdout") as copy:
            see("copy", digest(b"".join([bytes(data) async for data in copy])))


async def pipelines() -> None:
    async with await AsyncConnection.connect(autocommit=True) as conn:
        async with conn.pipeline() as pipeline:
            cursors = [await conn.execute("select %s::int * 2", [number]) for number in range(200)]
            await pipeline.sync()
            see("pipelined", sum([first(await cursor.fetchone()) for cursor in cursors]))
        with fails("aborted", errors.DivisionByZero):
            async with conn.pipeline():
                await conn.execute("select 1 / %s", [0])
                await conn.execute("select 1")
        see("goes on", await (await conn.execute("select 'fine'")).fetchone())


async def cancelling() -> None:
    async with await AsyncConnection.connect(autocommit=True) as conn:
        with fails("wait_for", asyncio.TimeoutError):
            # The driver sends a cancel request when its task is cancelled.
            await asyncio.wait_for(conn.execute("select pg_sleep(30)"), 0.3)
        see("goes on", await (await conn.execute("select 'fine'")).fetchone())


async def notifications() -> None:
    async with await AsyncConnection.connect(autocommit=True) as conn:
        await conn.execute("listen news")
        async with await AsyncConnection.connect(autocommit=True) as other:
            await other.execute("notify news, 'hello'")
        see("heard", [notify.payload async for notify in conn.notifies(timeout=10, stop_after=1)])


async def wrong_password() -> None:
    with fails("wrong password", psycopg.OperationalError):
        await AsyncConnection.connect(password="wrong")


async def crowd() -> None:
    pool = AsyncConnectionPool(
        f"dbname={stage.CROWD_DATABASE}",
        min_size=stage.CROWD,
        max_size=stage.CROWD,
        # Each statement is prepared under a name when it comes for the second time.
        kwargs={"prepare_threshold": 1},
        open=False,
    )

    async def work(client: int) -> set[int]:
        pids = set()
        for round_number in range(20):
            async with pool.connection() as conn:
                pids.add(first(await (await conn.execute("select pg_backend_pid()")).fetchone()))
                answer = await (await conn.execute("select %s::int", [1000 * client + round_number])).fetchone()
                assert answer == (1000 * client + round_number,), answer
        return pids

    async with pool:
        await pool.wait()
        pids = await asyncio.gather(*(work(client) for client in range(2 * stage.CROWD)))
    stage.check_servers(set().union(*pids))


async def play() -> None:
    for part in (statements, pipelines, cancelling, notifications, wrong_password, crowd):
        print(f"== {part.__name__}", flush=True)
        await part()


def all_parts() -> None:
    asyncio.run(play())


stage.play(all_parts)
