from django.urls import path

from shop import views

urlpatterns = [
    path("catalogue/", views.catalogue),
    path("buy/<int:item_id>/", views.buy),
    path("export/", views.export),
    path("totals/", views.totals),
]
