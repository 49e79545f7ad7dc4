# What is promised, and how it is measured. docs/operations.md says what follows when a budget is spent.
resource "google_monitoring_custom_service" "this" {
  project      = var.project_id
  service_id   = var.name
  display_name = "Ingest of ${local.pipeline}"
  user_labels  = local.labels

  depends_on = [google_project_service.needed]
}

locals {
  on_service = "resource.type=\"cloud_run_revision\" AND metric.type=\"${local.log_metric}"
}

resource "google_monitoring_slo" "freshness" {
  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "freshness"
  display_name        = "A run committed in the last 25 minutes"
  goal                = 0.995
  rolling_period_days = 28
  user_labels         = local.labels

  windows_based_sli {
    window_period = "1500s"

    metric_sum_in_range {
      time_series = "${local.on_service}/run_finished\""
      range {
        min = 1
        max = 1000000
      }
    }
  }

  depends_on = [google_logging_metric.counted]
}

resource "google_monitoring_slo" "completeness" {
  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "completeness"
  display_name        = "Reconcile finds no difference"
  goal                = 0.999
  rolling_period_days = 28
  user_labels         = local.labels

  windows_based_sli {
    window_period = "86400s"

    metric_sum_in_range {
      time_series = "resource.type=\"cloud_run_job\" AND metric.type=\"${local.log_metric}/reconcile_difference\""
      range {
        min = 0
        max = 0
      }
    }
  }

  depends_on = [google_logging_metric.counted]
}

resource "google_monitoring_slo" "appends" {
  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "appends"
  display_name        = "Batches are committed, not set aside"
  goal                = 0.999
  rolling_period_days = 28
  user_labels         = local.labels

  request_based_sli {
    good_total_ratio {
      good_service_filter = "${local.on_service}/batch_committed\""
      bad_service_filter  = "${local.on_service}/batch_dead_lettered\""
    }
  }

  depends_on = [google_logging_metric.counted]
}

resource "google_monitoring_slo" "dead_letters" {
  project             = var.project_id
  service             = google_monitoring_custom_service.this.service_id
  slo_id              = "dead-letters"
  display_name        = "No dead letter is open"
  goal                = 0.95
  rolling_period_days = 28
  user_labels         = local.labels

  windows_based_sli {
    window_period = "3600s"

    metric_mean_in_range {
      time_series = "${local.on_service}/dead_lettered_open\""
      range {
        min = 0
        max = 0.5
      }
    }
  }

  depends_on = [google_logging_metric.measured]
}
