"""psycopg 3, synchronous, as applications use it."""

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from ipaddress import ip_interface
from threading import Thread

import psycopg
import stage
from psycopg import Connection, IsolationLevel, Notify, errors, sql
from psycopg.rows import class_row, dict_row
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.enum import EnumInfo, register_enum
from psycopg.types.json import Json, Jsonb
from psycopg.types.multirange import Int4Multirange
from psycopg.types.range import Range, TimestamptzRange
from psycopg_pool import ConnectionPool
from stage import digest, fails, first, see


def connecting() -> None:
    options = "-c search_path=archive,public -c statement_timeout=12s -c DateStyle=German,DMY -c work_mem=1MB"
    with psycopg.connect(application_name="réport", client_encoding="latin1", options=options) as conn:
        for name in (
            "application_name",
            "client_encoding",
            "search_path",
            "statement_timeout",
            "DateStyle",
            "work_mem",
        ):
            see(name, conn.execute("select current_setting(%s)", [name]).fetchone())
        see("latin1", conn.execute("select 'é'::text, %s::text", ["ü"]).fetchone())
        for name in ("application_name", "client_encoding", "DateStyle", "is_superuser", "session_authorization"):
            see(f"reported {name}", conn.info.parameter_status(name))
        see("version", conn.info.server_version, conn.info.user, conn.info.dbname)
    with fails("wrong password", psycopg.OperationalError):
        psycopg.connect(password="wrong")
    with fails("unknown role", psycopg.OperationalError):
        psycopg.connect(user="nobody-knows-me")
    with fails("bad option", psycopg.OperationalError):
        psycopg.connect(options="-c work_mem=lots")


def tls() -> None:
    with psycopg.connect(sslmode="require") as conn:
        see("require", conn.pgconn.ssl_in_use, conn.execute("select 1").fetchone())
    with psycopg.connect(sslmode="verify-full", sslrootcert=stage.AUTHORITY_FILE, channel_binding="require") as conn:
        see("verify-full", conn.pgconn.ssl_in_use, conn.execute("select 1").fetchone())
        see("large over TLS", digest(first(conn.execute("select repeat('x', 3000000)").fetchone())))
    with fails("not our authority", psycopg.OperationalError):
        psycopg.connect(sslmode="verify-full", sslrootcert=stage.OTHER_AUTHORITY_FILE)


def types() -> None:
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("create type mood as enum ('sad', 'glad')")
        conn.execute("create type place as (name text, distance float8)")
        mood = EnumInfo.fetch(conn, "mood")
        place = CompositeInfo.fetch(conn, "place")
        assert mood and place
        register_enum(mood, conn)
        register_composite(place, conn)
        assert mood.enum and place.python_type
        values: list[tuple[str, object]] = [
            ("int2", 7), ("int4", -(2**31)), ("int8", 2**62), ("numeric", Decimal("-12345678901234567890.000123")),
            ("float8", 0.1), ("bool", True), ("text", "it's 'quoted' \\ ünï ✓"), ("bytea", bytes(range(256))),
            ("date", dt.date(1969, 7, 20)), ("time", dt.time(1, 2, 3, 4)),
            ("interval", dt.timedelta(days=3, seconds=5)),
            ("timestamptz", dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc)), ("uuid", uuid.UUID(int=5)),
            ("json", Json({"a": [1, None]})), ("jsonb", Jsonb({"b": "ü"})), ("int4[]", [1, None, 3]),
            ("text[]", ["a,b", '"', ""]), ("int4[]", [[1, 2], [3, 4]]), ("inet", ip_interface("10.1.2.3/8")),
            ("int4range", Range(1, 5)), ("tstzrange", TimestamptzRange(empty=True)),
            ("int4multirange", Int4Multirange([Range(1, 3), Range(7, 9)])), ("mood", mood.enum["glad"]),
            ("place", place.python_type("here", 1.5)), ("text", None),
        ]  # fmt: skip
        for type_name, value in values:
            for binary in (False, True):
                cursor = conn.cursor(binary=binary)
                query = sql.SQL("select %s::{0}, null::{0}").format(sql.SQL(type_name))
                row = cursor.execute(query, [value]).fetchone()
                assert cursor.description
                see(f"{type_name} {binary}", row, cursor.description[0].type_code < 16384)


def statements() -> None:
    with psycopg.connect(row_factory=dict_row) as conn:
        conn.execute("create table item (id serial primary key, name text unique, price numeric)")
        with conn.cursor() as cursor:
            cursor.executemany(
                "insert into item (name, price) values (%s, %s) returning id",
                [(f"item {number}", number) for number in range(50)],
                returning=True,
            )
            returned = [cursor.fetchone()]
            while cursor.nextset():
                returned.append(cursor.fetchone())
            see("executemany", len(returned), returned[-1], cursor.rowcount)
        for number in range(12):  # From the fifth on psycopg prepares it.
            row = conn.execute("select name from item where id = %s", [number + 1]).fetchone()
            assert row == {"name": f"item {number}"}, row
        see("prepare=True", conn.execute("select count(*) from item where price > %s", [10], prepare=True).fetchone())
        see("prepared", conn.execute("select count(*) > 0 as any from pg_prepared_statements").fetchone())
        see("class_row", conn.cursor(row_factory=class_row(dict)).execute("select 1 as a").fetchone())
        several = conn.execute("select 1 as a; select 2 as b; update item set price = 0 where id < 4")
        see("several", several.fetchall(), several.nextset(), several.fetchall())
        see("the last of them", several.nextset(), several.statusmessage)
        see("empty", conn.execute("").statusmessage)
        notices: list[str] = []
        conn.add_notice_handler(lambda notice: notices.append(f"{notice.severity} {notice.message_primary}"))
        conn.execute("do $$ begin raise notice 'mind the gap'; raise warning 'twice'; end $$")
        see("notices", notices)
    with psycopg.connect(autocommit=True) as conn:
        large = "ü" * 5_000_000
        see("large", conn.execute("select %s::text = repeat('ü', 5000000)", [large]).fetchone())
        result = conn.cursor(binary=True).execute("select convert_to(%s, 'UTF8')", [large]).fetchone()
        see("large bytea", digest(first(result)))
        see("many rows", sum(number for (number,) in conn.execute("select generate_series(1, 200000)")))


def transactions() -> None:
    with psycopg.connect() as conn:
        conn.execute("create table account (id int primary key, amount int check (amount >= 0))")
        conn.execute("insert into account values (1, 100), (2, 0)")
        conn.commit()
        with fails("unique violation", errors.UniqueViolation), conn.transaction():
            conn.execute("insert into account values (1, 1)")
        with fails("check violation", errors.CheckViolation):
            conn.execute("update account set amount = -1")
        with fails("failed transaction", errors.InFailedSqlTransaction):
            conn.execute("select 1")
        see("status", conn.info.transaction_status.name)
        conn.rollback()
        with conn.transaction():
            conn.execute("update account set amount = amount - 10 where id = 1")
            with conn.transaction("inner") as inner:
                conn.execute("update account set amount = amount + 99 where id = 2")
                raise psycopg.Rollback(inner)
            conn.execute("update account set amount = amount + 10 where id = 2")
        see("savepoint", conn.execute("select * from account order by id").fetchall())
        conn.rollback()
        with conn.transaction():
            conn.execute("set local statement_timeout = '30ms'")
            with fails("set local", errors.QueryCanceled), conn.transaction():
                conn.execute("select pg_sleep(20)")
        see("afterwards", conn.execute("show statement_timeout").fetchone())
        conn.rollback()
        with fails("syntax", errors.SyntaxError):
            conn.execute("selekt 1")
        conn.rollback()
        with fails("division", errors.DivisionByZero):
            conn.execute("select 1 / %s", [0])
    with psycopg.connect() as first, psycopg.connect() as second:
        first.isolation_level = second.isolation_level = IsolationLevel.SERIALIZABLE
        for conn in (first, second):
            conn.execute("select sum(amount) from account")
        first.execute("insert into account values (3, 1)")
        second.execute("insert into account values (4, 1)")
        first.commit()
        with fails("serialization", errors.SerializationFailure):
            second.commit()
        first.read_only = True
        with fails("read only", errors.ReadOnlySqlTransaction):
            first.execute("delete from account")
    with psycopg.connect() as first, psycopg.connect() as second:
        take = "select pg_try_advisory_xact_lock(42)"
        see("advisory", first.execute(take).fetchone(), second.execute(take).fetchone())
        first.commit()
        see("afterwards", second.execute(take).fetchone())


def session_state() -> None:
    with psycopg.connect(autocommit=True) as conn, psycopg.connect(autocommit=True) as other:
        conn.execute("set time zone 'Asia/Tokyo'")
        conn.execute("select set_config('app.tenant', 'seven', false)")
        conn.execute("create temporary table mine as select 1 as a")
        conn.execute("select pg_advisory_lock(5)")
        see("other", other.execute("select current_setting('TimeZone'), pg_try_advisory_lock(5)").fetchone())
        see("own", conn.execute("select current_setting('TimeZone'), current_setting('app.tenant')").fetchone())
        see("temporary", conn.execute("select * from mine").fetchall(), conn.info.parameter_status("TimeZone"))
        conn.execute("discard all")
        see("discarded", conn.execute("select current_setting('TimeZone'), to_regclass('mine')").fetchone())


def copying() -> None:
    with psycopg.connect() as conn, conn.cursor() as cursor:
        cursor.execute("create table bulk (id int, name text, at timestamptz)")
        noon = dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone.utc)
        with cursor.copy("copy bulk from stdin") as copy:
            for number in range(20_000):
                copy.write_row((number, f"tab\t{number}" if number % 3 else None, noon))
        see("in", cursor.rowcount)
        with cursor.copy("copy bulk (id, name) from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for number in range(1000):
                copy.write_row((-number, "ü"))
        see("binary in", cursor.rowcount)
        with cursor.copy("copy (select * from bulk order by id, name) to stdout") as copy:
            see("out", digest(b"".join(copy)))
        smallest = "select id, name from bulk order by id, name limit 3"
        with cursor.copy(f"copy ({smallest}) to stdout (format binary)") as copy:
            copy.set_types(["int4", "text"])
            see("rows", list(copy.rows()))
        conn.commit()
        with fails("bad row", errors.InvalidTextRepresentation), cursor.copy("copy bulk from stdin") as copy:
            copy.write("not a number\tx\t\\N\n")
        conn.rollback()
        with fails("given up", ZeroDivisionError), cursor.copy("copy bulk from stdin") as copy:
            copy.write_row((1, "x", 1 / 0))
        conn.rollback()
        everything = "copy (select generate_series(1, 300000)) to stdout"
        # The driver cancels a COPY that an error ends, and reads on to its end.
        with fails("stopped early", ZeroDivisionError), cursor.copy(everything) as copy:
            see("stopped after", bytes(next(iter(copy))), 1 / 0)
        conn.rollback()
        leaving = psycopg.connect()
        with leaving.cursor().copy(everything) as copy:
            see("left early", bytes(next(iter(copy))))
            leaving.close()
        see("count", cursor.execute("select count(*) from bulk").fetchone())


def cursors() -> None:
    with psycopg.connect() as conn:
        with conn.cursor("numbers") as cursor:
            cursor.itersize = 100
            cursor.execute("select generate_series(1, %s)", [1000])
            see("sum", sum(number for (number,) in cursor))
        with conn.cursor("scrolling", scrollable=True) as cursor:
            cursor.execute("select generate_series(1, 10)")
            see("forward", cursor.fetchmany(4))
            cursor.scroll(-3)
            see("back", cursor.fetchone())
            cursor.scroll(8, mode="absolute")
            see("absolute", cursor.fetchall())
    with psycopg.connect(autocommit=True) as conn, conn.cursor("held", withhold=True) as cursor:
        cursor.execute("select generate_series(1, 50)")
        see("with hold", cursor.fetchmany(3), conn.execute("select 'between'").fetchone(), cursor.fetchmany(2))
    with psycopg.connect() as conn:
        see("stream", sum(number for (number,) in conn.cursor().stream("select generate_series(1, 500)")))


def pipelines() -> None:
    with psycopg.connect(autocommit=True) as conn:
        conn.execute("create table step (id int primary key)")
        with conn.pipeline() as pipeline:
            cursors = [conn.execute("insert into step values (%s) returning id", [number]) for number in range(100)]
            pipeline.sync()
            see("pipelined", sum(first(cursor.fetchone()) for cursor in cursors))
        with fails("pipeline", errors.UniqueViolation), conn.pipeline():
            conn.execute("insert into step values (1000)")
            conn.execute("insert into step values (1)")
            conn.execute("insert into step values (1001)")
        with conn.pipeline(), conn.transaction():
            conn.execute("insert into step values (2000)")
            with fails("savepoint", errors.UniqueViolation), conn.transaction():
                conn.execute("insert into step values (1)")
            conn.execute("insert into step values (2001)")
        see("left", conn.execute("select array_agg(id order by id) from step where id >= 1000").fetchone())


def notifications() -> None:
    with psycopg.connect(autocommit=True) as listener, psycopg.connect() as speaker:
        listener.execute("listen news")
        speaker.execute("notify news, 'rolled back'")
        speaker.rollback()
        speaker.execute("select pg_notify('news', %s)", ["first ü"])
        speaker.execute("notify news, 'second'")
        speaker.commit()
        heard: list[Notify] = list(listener.notifies(timeout=10, stop_after=2))
        see("heard", [(notify.channel, notify.payload) for notify in heard])
        see("between", listener.execute("select 1").fetchone())
        listener.execute("notify news, 'to myself'")
        see("own", [notify.payload for notify in listener.notifies(timeout=10, stop_after=1)])
        listener.execute("unlisten *")
        speaker.execute("notify news, 'nobody hears'")
        speaker.commit()
        see("unlistened", list(listener.notifies(timeout=0.1)))


def cancelling() -> None:
    sleep = "select pg_sleep(30)"
    with psycopg.connect(autocommit=True) as conn, psycopg.connect(autocommit=True) as observer:

        def cancel_when_running(how: object) -> None:
            stage.wait_until(lambda: observer.execute(stage.RUNNING.format(sleep)).fetchone() == (1,))
            assert callable(how)
            how()

        for name, how in (("cancel_safe", conn.cancel_safe), ("cancel", conn.cancel)):
            thread = Thread(target=cancel_when_running, args=[how])
            thread.start()
            with fails(name, errors.QueryCanceled):
                conn.execute(sleep)
            thread.join()
            see("goes on", conn.execute("select 'fine'").fetchone())


def crowd() -> None:
    def configure(conn: Connection) -> None:
        # Each statement is prepared under a name when it comes first.
        conn.prepare_threshold = 0

    with psycopg.connect(autocommit=True) as conn:
        conn.execute("create table tally (id int primary key, total int)")
        conn.execute("insert into tally select generate_series(0, 2), 0")
    conninfo = f"dbname={stage.CROWD_DATABASE} sslmode=require"
    pool = ConnectionPool(
        conninfo,
        min_size=stage.CROWD,
        max_size=stage.CROWD,
        open=True,
        configure=configure,
        check=ConnectionPool.check_connection,
    )

    def work(client: int) -> set[int]:
        pids = set()
        for round_number in range(30):
            with pool.connection() as conn:
                pids.add(first(conn.execute("select pg_backend_pid()").fetchone()))
                conn.execute("update tally set total = total + 1 where id = %s", [round_number % 3])
                answer = conn.execute("select %s::int, %s::text", [client, f"{round_number}"]).fetchone()
                assert answer == (client, f"{round_number}"), answer
        return pids

    with pool:
        pool.wait()
        # Twice as many threads as connections, so that the pool of the driver has its own queue.
        with ThreadPoolExecutor(2 * stage.CROWD) as threads:
            pids = set().union(*threads.map(work, range(2 * stage.CROWD)))
        with pool.connection() as conn:
            see("tally", conn.execute("select * from tally order by id").fetchall())
    stage.check_servers(pids)


stage.play(
    connecting, tls, types, statements, transactions, session_state, copying, cursors, pipelines, notifications,
    cancelling, crowd,
)  # fmt: skip
