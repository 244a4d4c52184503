from django.contrib.auth.decorators import login_required
from django.db import connection, transaction
from django.db.models import Count, F, Sum
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404

from shop.models import Item, Sale


def catalogue(request: HttpRequest) -> JsonResponse:
    items = Item.objects.filter(tags__contains=["cheap"]).annotate(sold=Count("sales")).order_by("id")
    return JsonResponse({"items": [[item.name, item.sold] for item in items[:5]]})


@login_required
def buy(request: HttpRequest, item_id: int) -> HttpResponse:
    with transaction.atomic():
        item = get_object_or_404(Item.objects.select_for_update(), pk=item_id)
        if item.stock == 0:
            return JsonResponse({"error": "sold out"}, status=409)
        Item.objects.filter(pk=item_id).update(stock=F("stock") - 1)
        Sale.objects.create(item=item, buyer=request.user)
        with connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            (pid,) = cursor.fetchone()
    return JsonResponse({"server": pid})


def export(request: HttpRequest) -> StreamingHttpResponse:
    # Outside of a transaction: Django declares the cursor WITH HOLD.
    rows = Item.objects.order_by("id").values_list("name", flat=True).iterator(chunk_size=30)
    return StreamingHttpResponse(f"{name}\n" for name in rows)


def totals(request: HttpRequest) -> JsonResponse:
    return JsonResponse(Item.objects.aggregate(stock=Sum("stock"), count=Count("id")))
