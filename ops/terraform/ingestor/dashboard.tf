resource "google_monitoring_dashboard" "this" {
  project = var.project_id
  dashboard_json = templatefile("${path.module}/../../dashboards/ingestor.json", {
    name     = var.name
    pipeline = local.pipeline
  })

  lifecycle {
    # The console adds names of its own.
    ignore_changes = [dashboard_json]
  }

  depends_on = [google_logging_metric.counted, google_logging_metric.measured, google_logging_metric.scheduler_failed]
}
