import django.contrib.postgres.fields
import django.contrib.postgres.fields.ranges
from django.db import migrations, models


def fill(apps, schema_editor):
    Item = apps.get_model("shop", "Item")
    Item.objects.bulk_create(Item(name=f"item {n:03}", price=n, stock=5) for n in range(200))


def empty(apps, schema_editor):
    apps.get_model("shop", "Item").objects.all().delete()


class Migration(migrations.Migration):
    dependencies = [("shop", "0001_initial")]
    operations = [
        migrations.RunPython(fill, empty),
        migrations.AddField(
            model_name="item",
            name="tags",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=20), default=list, size=None
            ),
        ),
        migrations.AddField(
            model_name="item",
            name="on_sale",
            field=django.contrib.postgres.fields.ranges.DateTimeRangeField(null=True),
        ),
        migrations.RunSQL("update shop_item set tags = array['cheap'] where price < 50", migrations.RunSQL.noop),
    ]
