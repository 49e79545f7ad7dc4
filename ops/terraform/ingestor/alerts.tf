# Every alert: what is looked at, where it begins, for how long, how bad, and the runbook, whose text comes with the alert.
#
# metric     one of ours (metrics.tf) or of the platform (ops/monitoring_names.py)
# on         monitored resources whose series are looked at
# aligner    how a window becomes a number; window_s its length
# above      the alert begins above it, and after it has held for_s seconds (0: at once)
# severity   CRITICAL: somebody gets up. ERROR: today. WARNING: this week.
locals {
  log_metric = "logging.googleapis.com/user/${var.name}"
  service    = ["cloud_run_revision"]
  everywhere = ["cloud_run_revision", "cloud_run_job"]

  alerts = {
    run_failed               = { metric = "${local.log_metric}/run_failed", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "ERROR", runbook = "run-failed", says = "A run failed" }
    schema_mismatch          = { metric = "${local.log_metric}/schema_mismatch", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "ERROR", runbook = "schema-mismatch", says = "The message does not fit the table" }
    source_retries           = { metric = "${local.log_metric}/page_retried", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 1800, above = 15, for_s = 0, severity = "WARNING", runbook = "source-down", says = "The source answers badly or not at all" }
    permission_lost          = { metric = "${local.log_metric}/batch_dead_lettered", extra = " AND metric.label.code=\"PERMISSION_DENIED\"", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "CRITICAL", runbook = "permission-lost", says = "BigQuery refuses the account" }
    lag                      = { metric = "${local.log_metric}/lag_s", on = local.everywhere, aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", window_s = 1500, above = var.thresholds.lag_s, for_s = 1500, severity = "ERROR", runbook = "missed-ticks", says = "The table is behind the source" }
    in_doubt                 = { metric = "${local.log_metric}/oldest_in_doubt_s", on = local.everywhere, aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", window_s = 1500, above = var.thresholds.in_doubt_s, for_s = 0, severity = "ERROR", runbook = "in-doubt", says = "A batch has been in doubt for long" }
    dead_letters_new         = { metric = "${local.log_metric}/batch_dead_lettered", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "WARNING", runbook = "dead-letters", says = "A batch was set aside" }
    dead_letters_growing     = { metric = "${local.log_metric}/dead_lettered_open", on = local.everywhere, aligner = "ALIGN_PERCENTILE_99", reducer = "REDUCE_MAX", window_s = 1500, above = 50, for_s = 3600, severity = "ERROR", runbook = "dead-letters", says = "Many dead letters are open, and stay so" }
    rejection_ratio          = { metric = "${local.log_metric}/rows_rejected", over = "${local.log_metric}/records", on = local.service, aligner = "ALIGN_DELTA", reducer = "REDUCE_MEAN", window_s = 3600, above = var.thresholds.rejection_ratio, for_s = 0, severity = "WARNING", runbook = "rejected-records", says = "Too many records are no rows" }
    fuse_blown               = { metric = "${local.log_metric}/fuse_blown", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "CRITICAL", runbook = "fuse", says = "The fuse stopped a run" }
    dead_letter_write_failed = { metric = "${local.log_metric}/deadletter_failed", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "CRITICAL", runbook = "bucket-unreachable", says = "The bucket did not take a dead letter" }
    replay_failed            = { metric = "${local.log_metric}/replay_failed", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "WARNING", runbook = "dead-letters", says = "A replay failed" }
    write_errors             = { metric = "${local.log_metric}/batch_retried", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 1800, above = 30, for_s = 0, severity = "WARNING", runbook = "quota", says = "BigQuery makes us send again and again" }
    write_throttled          = { metric = "serviceruntime.googleapis.com/quota/exceeded", extra = " AND metric.label.quota_metric=\"bigquerystorage.googleapis.com/write/append_bytes\"", on = ["consumer_quota"], aligner = "ALIGN_COUNT_TRUE", reducer = "REDUCE_SUM", window_s = 600, above = 0, for_s = 0, severity = "WARNING", runbook = "quota", says = "The Write API's throughput quota is used up" }
    write_connections        = { metric = "bigquerystorage.googleapis.com/write/concurrent_connections", on = ["bigquery_project"], aligner = "ALIGN_MAX", reducer = "REDUCE_SUM", window_s = 600, above = var.thresholds.write_connections, for_s = 600, severity = "WARNING", runbook = "quota", says = "Many connections to the Write API are open" }
    latency                  = { metric = "run.googleapis.com/request_latencies", extra = " AND resource.label.service_name=\"${var.name}-run\"", on = local.service, aligner = "ALIGN_PERCENTILE_95", reducer = "REDUCE_MAX", window_s = 1800, above = var.thresholds.run_latency_ms, for_s = 1800, severity = "WARNING", runbook = "slow-runs", says = "Runs end at their deadline" }
    scheduler_failed         = { metric = "${local.log_metric}/scheduler_failed", on = ["cloud_scheduler_job"], aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 1800, above = 2, for_s = 0, severity = "ERROR", runbook = "missed-ticks", says = "Cloud Scheduler cannot start runs" }
    firestore_contention     = { metric = "firestore.googleapis.com/api/request_count", extra = " AND metric.label.response_code=\"ABORTED\"", on = ["firestore.googleapis.com/Database"], aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 600, above = var.thresholds.firestore_contention, for_s = 0, severity = "WARNING", runbook = "firestore-contention", says = "Ledger writes meet each other" }
    auth_refused             = { metric = "${local.log_metric}/auth_refused", on = local.service, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 3600, above = var.thresholds.auth_refusals, for_s = 0, severity = "WARNING", runbook = "auth-refused", says = "Callers are refused" }
    reconcile_difference     = { metric = "${local.log_metric}/reconcile_difference", on = local.everywhere, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 3600, above = 0, for_s = 0, severity = "CRITICAL", runbook = "reconcile-difference", says = "Ledger and table differ" }
    cost                     = { metric = "bigquerystorage.googleapis.com/write/uploaded_bytes_count", on = ["bigquery_dataset", "bigquery_project"], aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM", window_s = 86400, above = var.thresholds.uploaded_bytes_per_day, for_s = 0, severity = "WARNING", runbook = "cost", says = "Far more bytes than planned are uploaded" }
  }

  # Stands in for an uptime check, which could not reach a service with internal ingress.
  absences = {
    missed_tick = { metric = "${local.log_metric}/run_finished", for_s = 1500, severity = "CRITICAL", runbook = "missed-ticks", says = "No run has finished for 25 minutes" }
  }
}

resource "google_monitoring_alert_policy" "threshold" {
  for_each              = local.alerts
  project               = var.project_id
  display_name          = "${var.name}: ${each.value.says}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = each.key })

  dynamic "conditions" {
    for_each = each.value.on
    content {
      display_name = "${each.value.says} (${conditions.value})"

      condition_threshold {
        filter             = "resource.type=\"${conditions.value}\" AND metric.type=\"${each.value.metric}\"${try(each.value.extra, "")}"
        denominator_filter = try("resource.type=\"${conditions.value}\" AND metric.type=\"${each.value.over}\"", null)
        comparison         = "COMPARISON_GT"
        threshold_value    = each.value.above
        duration           = "${each.value.for_s}s"

        aggregations {
          alignment_period     = "${each.value.window_s}s"
          per_series_aligner   = each.value.aligner
          cross_series_reducer = each.value.reducer
        }

        dynamic "denominator_aggregations" {
          for_each = try([each.value.over], [])
          content {
            alignment_period     = "${each.value.window_s}s"
            per_series_aligner   = each.value.aligner
            cross_series_reducer = each.value.reducer
          }
        }

        trigger {
          count = 1
        }
      }
    }
  }

  documentation {
    subject   = "${var.name}: ${each.value.says}"
    mime_type = "text/markdown"
    content   = file("${path.module}/../../runbooks/${each.value.runbook}.md")

    dynamic "links" {
      for_each = var.runbooks_url == null ? [] : [var.runbooks_url]
      content {
        display_name = "Runbook ${each.value.runbook}"
        url          = "${links.value}/${each.value.runbook}.md"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_logging_metric.counted, google_logging_metric.measured, google_logging_metric.scheduler_failed]
}

resource "google_monitoring_alert_policy" "absence" {
  for_each              = local.absences
  project               = var.project_id
  display_name          = "${var.name}: ${each.value.says}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels
  user_labels           = merge(local.labels, { alert = each.key })

  conditions {
    display_name = each.value.says

    condition_absent {
      filter   = "resource.type=\"cloud_run_revision\" AND metric.type=\"${each.value.metric}\""
      duration = "${each.value.for_s}s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    subject   = "${var.name}: ${each.value.says}"
    mime_type = "text/markdown"
    content   = file("${path.module}/../../runbooks/${each.value.runbook}.md")

    dynamic "links" {
      for_each = var.runbooks_url == null ? [] : [var.runbooks_url]
      content {
        display_name = "Runbook ${each.value.runbook}"
        url          = "${links.value}/${each.value.runbook}.md"
      }
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  depends_on = [google_logging_metric.counted]
}
