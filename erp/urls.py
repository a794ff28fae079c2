"""Where everything is: the admin with the queue dashboard, the API, the metrics."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from jobs.api.urls import api
from jobs.metrics import metrics

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/queues/", include("jobs.dashboard.urls")),
    path("admin/", admin.site.urls),
    path("notifications/", include("notifications.urls")),
    path("api/", api.urls),
    path("metrics", metrics, name="metrics"),
]
