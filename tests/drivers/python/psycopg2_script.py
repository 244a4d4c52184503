"""psycopg 2, as applications use it."""

import datetime as dt
import io
import select
import uuid
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Thread

import psycopg2
import psycopg2.extras
import stage
from psycopg2 import errors, extensions, sql
from psycopg2.pool import ThreadedConnectionPool
from stage import digest, fails, see


def connecting() -> None:
    conn = psycopg2.connect(
        application_name="report",
        client_encoding="latin1",
        options="-c search_path=archive,public -c statement_timeout=9s",
    )
    with conn, conn.cursor() as cursor:
        for name in ("application_name", "client_encoding", "search_path", "statement_timeout"):
            cursor.execute("select current_setting(%s)", [name])
            see(name, cursor.fetchone())
        cursor.execute("select 'é', %s", ["ü"])
        see("latin1", cursor.fetchone(), conn.encoding)
        conn.rollback()
        conn.set_client_encoding("UTF8")
        cursor.execute("select '✓', current_setting('client_encoding')")
        see("utf8", cursor.fetchone(), conn.encoding)
    conn.close()
    full = psycopg2.connect(sslmode="verify-full", sslrootcert=stage.AUTHORITY_FILE)
    see("TLS", full.info.ssl_in_use, full.info.server_version)
    full.close()
    with fails("wrong password", psycopg2.OperationalError):
        psycopg2.connect(password="wrong")
    with fails("not our authority", psycopg2.OperationalError):
        psycopg2.connect(sslmode="verify-ca", sslrootcert=stage.OTHER_AUTHORITY_FILE)


def types() -> None:
    psycopg2.extras.register_uuid()
    conn = psycopg2.connect()
    with conn, conn.cursor() as cursor:
        cursor.execute("create type place as (name text, distance float8)")
        psycopg2.extras.register_composite("place", cursor)
        values = [
            1, 2**40, Decimal("1.50"), 0.1, True, None, "it's \\ ü ✓", memoryview(bytes(range(256))),
            dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc), dt.timedelta(hours=5),
            uuid.UUID(int=9), [1, None, 3], ["a", '"'], psycopg2.extras.Json({"a": 1}),
            psycopg2.extras.NumericRange(1, 5), psycopg2.extras.DateTimeTZRange(empty=True), (1, "two"),
        ]  # fmt: skip
        for value in values:
            cursor.execute("select %s", [value])
            result = cursor.fetchone()[0]
            see(type(value).__name__, bytes(result) if isinstance(result, memoryview) else result)
        cursor.execute("select ('here', 1.5)::place, array[('there', 2)::place]")
        see("composite", cursor.fetchone())
    conn.close()


def statements() -> None:
    conn = psycopg2.connect(cursor_factory=psycopg2.extras.RealDictCursor)
    with conn, conn.cursor() as cursor:
        cursor.execute("create table item (id serial primary key, name text unique, at date default '2024-01-01')")
        cursor.executemany("insert into item (name) values (%s)", [(f"item {number}",) for number in range(30)])
        rows = psycopg2.extras.execute_values(
            cursor, "insert into item (name) values %s returning id", [(f"more {n}",) for n in range(250)], fetch=True
        )
        see("execute_values", len(rows), rows[-1])
        psycopg2.extras.execute_batch(
            cursor, "update item set name = %s where id = %s", [(f"b{n}", n) for n in range(50)]
        )
        cursor.execute("select 1 as a; select count(*) from item where name like 'b%'")
        see("several", cursor.fetchall())
        cursor.callproc("upper", ["shout"])
        see("callproc", cursor.fetchone())
        cursor.execute(sql.SQL("select {} from {} where id = 1").format(sql.Identifier("name"), sql.Identifier("item")))
        see("composed", cursor.fetchone(), cursor.statusmessage)
        cursor.execute("do $$ begin raise notice 'mind the gap'; end $$")
        see("notices", conn.notices[-1:])
    conn.close()


def transactions() -> None:
    conn = psycopg2.connect()
    with conn, conn.cursor() as cursor:
        cursor.execute("create table account (id int primary key, amount int)")
        cursor.execute("insert into account values (1, 10)")
    with fails("unique", errors.UniqueViolation), conn, conn.cursor() as cursor:
        cursor.execute("insert into account values (1, 20)")
    with conn, conn.cursor() as cursor:
        cursor.execute("savepoint s")
        with fails("inside", errors.DivisionByZero):
            cursor.execute("select 1/0")
        with fails("failed", errors.InFailedSqlTransaction):
            cursor.execute("select 1")
        cursor.execute("rollback to savepoint s")
        cursor.execute("set local work_mem = '3MB'; select pg_advisory_xact_lock(3), current_setting('work_mem')")
        see("local", cursor.fetchone())
    conn.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
    with fails("read only", errors.ReadOnlySqlTransaction), conn, conn.cursor() as cursor:
        cursor.execute("show transaction_isolation")
        see("isolation", cursor.fetchone())
        cursor.execute("delete from account")
    conn.set_session(autocommit=True, readonly=False)
    with conn.cursor() as cursor:
        cursor.execute("set statement_timeout = '30ms'")
        with fails("timeout", errors.QueryCanceled):
            cursor.execute("select pg_sleep(20)")
        conn.reset()  # ABORT, RESET ALL, SET SESSION AUTHORIZATION DEFAULT
        cursor.execute("show statement_timeout")
        see("reset", cursor.fetchone())
    conn.close()


def copying() -> None:
    conn = psycopg2.connect()
    with conn, conn.cursor() as cursor:
        cursor.execute("create table bulk (id int, name text)")
        cursor.copy_from(io.StringIO("".join(f"{n}\tname {n}\n" for n in range(20_000))), "bulk")
        see("in", cursor.rowcount)
        output = io.StringIO()
        cursor.copy_expert("copy (select * from bulk order by id desc) to stdout with csv header", output)
        see("out", digest(output.getvalue()))
    with fails("bad row", errors.InvalidTextRepresentation), conn, conn.cursor() as cursor:
        cursor.copy_from(io.StringIO("x\ty\n"), "bulk")
    conn.close()


def cursors_and_large_objects() -> None:
    conn = psycopg2.connect()
    with conn, conn.cursor("numbers") as cursor:
        cursor.itersize = 300
        cursor.execute("select generate_series(1, 2000)")
        see("named", sum(number for (number,) in cursor))
    with conn, conn.cursor("scrolling", scrollable=True) as cursor:
        cursor.execute("select generate_series(1, 10)")
        cursor.scroll(5)
        see("scrolled", cursor.fetchone())
    with conn:
        large = conn.lobject(0, "wb")
        large.write(b"0123456789" * 50_000)
        large.seek(100_000)
        identity = large.oid
    with conn:
        large = conn.lobject(identity, "rb")
        see("large object", digest(large.read()))
        large.unlink()
    with conn.cursor("held", withhold=True) as cursor:
        cursor.execute("select generate_series(1, 10)")
        see("held", cursor.fetchmany(2))
        conn.commit()
        see("after commit", cursor.fetchmany(2))
    conn.close()


def notifications() -> None:
    conn = psycopg2.connect()
    conn.autocommit = True
    cursor = conn.cursor()
    cursor.execute("listen news")
    other = psycopg2.connect()
    with other, other.cursor() as speaking:
        speaking.execute("notify news, 'hello'")
    other.close()
    while not conn.notifies:
        assert select.select([conn], [], [], 10)[0], "no notification"
        conn.poll()
    see("heard", [(notify.channel, notify.payload) for notify in conn.notifies])
    conn.close()


def cancelling() -> None:
    sleep = "select pg_sleep(30)"
    conn, observer = psycopg2.connect(), psycopg2.connect()
    conn.autocommit = observer.autocommit = True

    def runs() -> bool:
        with observer.cursor() as cursor:
            cursor.execute(stage.RUNNING.format(sleep).replace("%", "%%"), [])
            return bool(cursor.fetchone() == (1,))

    def cancel() -> None:
        stage.wait_until(runs)
        conn.cancel()

    thread = Thread(target=cancel)
    thread.start()
    with fails("cancelled", extensions.QueryCanceledError), conn.cursor() as cursor:
        cursor.execute(sleep)
    thread.join()
    with conn.cursor() as cursor:
        cursor.execute("select 'fine'")
        see("goes on", cursor.fetchone())
    conn.close()
    observer.close()


def crowd() -> None:
    pool = ThreadedConnectionPool(stage.CROWD, stage.CROWD, dbname=stage.CROWD_DATABASE)
    with psycopg2.connect() as conn, conn.cursor() as cursor:
        cursor.execute("create table tally (total int); insert into tally values (0)")

    def work(client: int) -> set[int]:
        pids = set()
        conn = pool.getconn()
        for number in range(40):
            with conn, conn.cursor() as cursor:
                cursor.execute("update tally set total = total + 1")
                cursor.execute("select pg_backend_pid(), %s", [1000 * client + number])
                pid, answer = cursor.fetchone()
                assert answer == 1000 * client + number, answer
                pids.add(pid)
        pool.putconn(conn)
        return pids

    with ThreadPoolExecutor(stage.CROWD) as threads:
        pids = set().union(*threads.map(work, range(stage.CROWD)))
    pool.closeall()
    with psycopg2.connect() as conn, conn.cursor() as cursor:
        cursor.execute("select total from tally")
        see("tally", cursor.fetchone())
    stage.check_servers(pids)


stage.play(
    connecting, types, statements, transactions, copying, cursors_and_large_objects, notifications, cancelling, crowd
)
