from django.conf import settings
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField, HStoreField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q


class Item(models.Model):
    name = models.CharField(max_length=100, unique=True)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    stock = models.IntegerField(default=0)
    tags = ArrayField(models.CharField(max_length=20), default=list)
    details = models.JSONField(default=dict)
    labels = HStoreField(default=dict)
    on_sale = DateTimeRangeField(null=True)

    class Meta:
        indexes = [
            GinIndex(fields=["tags"], name="item_tags"),
            models.Index(fields=["price"], name="item_price"),
        ]
        constraints = [models.CheckConstraint(condition=Q(stock__gte=0), name="stock_not_negative")]


class Sale(models.Model):
    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="sales")
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    at = models.DateTimeField(auto_now_add=True)
