"""Django: migrates the shop, queries it, and serves it to a crowd."""

import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "settings"
django.setup()

import stage  # noqa: E402
from asgiref.sync import sync_to_async  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import DataError, IntegrityError, OperationalError, connection, connections, transaction  # noqa: E402
from django.db.models import Avg, F, Prefetch, Q, Window  # noqa: E402
from django.db.models.functions import Rank, TruncDay  # noqa: E402
from django.test import Client  # noqa: E402
from psycopg.types.range import TimestamptzRange  # noqa: E402
from shop.models import Item, Sale  # noqa: E402
from stage import fails, see  # noqa: E402


def manage(*arguments: str, **options: object) -> list[str]:
    output = io.StringIO()
    call_command(*arguments, stdout=output, no_color=True, **options)
    return output.getvalue().splitlines()


def migrating() -> None:
    see("check", manage("check", databases=["default"]))
    see("migrate", manage("migrate"))
    see("once more", manage("migrate")[-1:])
    see("changes", manage("makemigrations", dry_run=True, check_changes=True))
    see("back", manage("migrate", "shop", "0001", verbosity=1)[-2:])
    see("and forth", manage("migrate", "shop")[-2:])
    see("inspected", manage("inspectdb", "shop_item"))
    indexes = "select relname, indisvalid from pg_index join pg_class on pg_class.oid = indexrelid"
    with connection.cursor() as cursor:
        cursor.execute(f"{indexes} where relname like 'item%%' order by 1")
        see("indexes", cursor.fetchall())


def querying() -> None:
    item = Item.objects.get(name="item 007")
    item.details = {"colour": "grün", "sizes": [1, 2]}
    item.labels = {"made in": "Köln", "weight": None}
    item.on_sale = TimestamptzRange(datetime(2024, 1, 1, tzinfo=timezone.utc), None)
    item.save()
    item.refresh_from_db()
    see("fields", item.details, item.labels, item.on_sale, item.tags)
    see("json", Item.objects.filter(details__sizes__contains=[2], labels__has_key="weight").count())
    see("created", [Item.objects.get_or_create(name="new", defaults={"price": 3})[1] for _ in range(2)])
    see("upsert", len(Item.objects.bulk_create(
        [Item(name="new", price=4), Item(name="newer", price=5)],
        update_conflicts=True, unique_fields=["name"], update_fields=["price"],
    )))  # fmt: skip
    rank = Window(Rank(), order_by=F("price").desc())
    see("window", list(Item.objects.annotate(rank=rank).values_list("name", "rank").order_by("rank")[:2]))
    see("average", Item.objects.filter(Q(price__lt=10) | Q(tags__overlap=["cheap"])).aggregate(Avg("price")))
    see("in bulk", sorted(Item.objects.in_bulk(["item 001", "item 002"], field_name="name")))
    raw = Item.objects.raw("select * from shop_item where name like %s order by id limit 1", ["item%"])
    see("raw", [found.name for found in raw])
    see("explained", "Scan" in Item.objects.filter(pk=1).explain())
    see("iterator", sum(1 for _ in Item.objects.iterator(chunk_size=20)))
    with transaction.atomic():
        see("iterator in a transaction", sum(1 for _ in Item.objects.iterator(chunk_size=20)))
    left = Item.objects.order_by("id").iterator(chunk_size=20)
    see("iterator left early", next(left).name)
    left.close()
    see("the zone", connection.cursor().execute("show timezone").fetchone())


def transactions() -> None:
    with fails("unique", IntegrityError), transaction.atomic():
        Item.objects.create(name="item 001", price=1)
    with fails("check", IntegrityError):
        Item.objects.filter(name="item 001").update(stock=-1)
    with fails("too long", DataError):
        Item.objects.create(name="x" * 101, price=1)
    after_commit: list[str] = []
    with transaction.atomic():
        Item.objects.filter(name="item 001").update(stock=77)
        transaction.on_commit(lambda: after_commit.append("committed"))
        with fails("savepoint", ZeroDivisionError), transaction.atomic():
            Item.objects.filter(name="item 001").update(stock=1 // 0)
        with fails("inner", IntegrityError), transaction.atomic():
            Item.objects.create(name="item 001", price=1)
    see("kept", Item.objects.get(name="item 001").stock, after_commit)
    with transaction.atomic():
        Item.objects.filter(name="item 001").update(stock=5)
        transaction.set_rollback(True)
    see("rolled back", Item.objects.get(name="item 001").stock)
    Item.objects.filter(name="item 001").update(stock=5)
    with transaction.atomic(), fails("time", OperationalError), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("set local statement_timeout = 30")
            cursor.execute("select pg_sleep(20)")
    with transaction.atomic():
        locked = Item.objects.select_for_update(skip_locked=True, of=["self"]).filter(price__lt=3).order_by("id")
        see("locked", [item.name for item in locked])


def other_settings() -> None:
    """A pool in the driver, binding and preparing on the server, TLS, another zone, another isolation level."""

    def count(price: int) -> int:
        found = Item.objects.using("pooled").filter(price__lt=price).count()
        connections["pooled"].close()
        return found

    with ThreadPoolExecutor(4) as threads:
        see("pooled", list(threads.map(count, [5, 10, 15, 20] * 10))[-4:])
    connections["pooled"].close_pool()
    with transaction.atomic(using="serializable"), connections["serializable"].cursor() as cursor:
        cursor.execute("select current_setting('transaction_isolation'), current_setting('timezone')")
        see("serializable", cursor.fetchone())
    connections["serializable"].close()

    async def ask() -> list[object]:
        found = [await Item.objects.acount(), [item.name async for item in Item.objects.order_by("id")[:2]]]
        await sync_to_async(connections.close_all)()  # In the thread that asked.
        return found

    see("async", asyncio.run(ask()))


def serving() -> None:
    User.objects.create_user("ann", password="secret")
    pages = Client()
    for page in ("/catalogue/", "/totals/"):
        see(page, pages.get(page).json())
    see("/export/", len(b"".join(pages.get("/export/").streaming_content).splitlines()))
    see("/buy/ without login", pages.get("/buy/1/").status_code)
    items = list(Item.objects.filter(stock=5).order_by("id")[:4])

    def shop(_: int) -> tuple[list[int], set[int]]:
        """Buys whatever is left, as fast as it can."""
        client = Client()
        assert client.login(username="ann", password="secret")
        statuses, servers = [], set()
        for item in items * 3:
            response = client.post(f"/buy/{item.pk}/")
            statuses.append(response.status_code)
            if response.status_code == 200:
                servers.add(response.json()["server"])
            assert client.get("/totals/").status_code == 200
        connections.close_all()
        return statuses, servers

    with ThreadPoolExecutor(stage.CROWD) as threads:
        shopped = list(threads.map(shop, range(stage.CROWD)))
    statuses = [status for own, _ in shopped for status in own]
    see("answers", statuses.count(200), statuses.count(409), len(statuses))
    stage.check_servers(set().union(*(servers for _, servers in shopped)))
    sold = Item.objects.filter(pk__in=[item.pk for item in items]).prefetch_related(Prefetch("sales")).order_by("id")
    see("sold", [(item.name, item.stock, len(item.sales.all())) for item in sold])
    days = Sale.objects.annotate(day=TruncDay("at")).values("day").distinct().count()
    see("days", days in (1, 2), Sale.objects.select_related("buyer", "item")[0].buyer.username)


def fixtures() -> None:
    path = os.path.join(os.environ["PGWEIR_TEST_FOLDER"], "shop.json")
    call_command("dumpdata", "shop.item", output=path, verbosity=0)
    Item.objects.all().delete()
    see("loaded", manage("loaddata", path, verbosity=1), Item.objects.count())
    see("flushed", manage("flush", interactive=False, verbosity=0), Item.objects.count())
    connections.close_all()


stage.play(migrating, querying, transactions, other_settings, serving, fixtures)
