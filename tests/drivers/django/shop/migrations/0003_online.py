"""What a live table takes without blocking: outside of a transaction."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("shop", "0002_fill")]
    operations = [
        AddIndexConcurrently("item", GinIndex(fields=["tags"], name="item_tags")),
        AddIndexConcurrently("item", models.Index(fields=["stock"], name="item_stock")),
        RemoveIndexConcurrently("item", "item_stock"),
        AddIndexConcurrently("item", models.Index(fields=["price"], name="item_price")),
        AddConstraintNotValid(
            "item", models.CheckConstraint(condition=models.Q(stock__gte=0), name="stock_not_negative")
        ),
        ValidateConstraint("item", "stock_not_negative"),
    ]
