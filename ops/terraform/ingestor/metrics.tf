# Metrics made of log lines. The events are those of ingestor/lognames.py, the fields those of its `Fields`: tests say so.
locals {
  counted = {
    run_finished        = "run.finished"
    run_failed          = "run.failed"
    page_retried        = "page.retried"
    record_rejected     = "record.rejected"
    batch_committed     = "batch.committed"
    batch_retried       = "batch.retried"
    batch_dead_lettered = "batch.dead_lettered"
    deadletter_failed   = "deadletter.failed"
    fuse_blown          = "fuse.blown"
    replay_failed       = "replay.failed"
    schema_mismatch     = "schema.mismatch"
    auth_refused        = "auth.refused"

    reconcile_difference = "reconcile.difference"
  }

  # Fields of the line at the end of a run, finished or failed.
  measured = {
    lag_s              = "s"
    oldest_in_doubt_s  = "s"
    duration_s         = "s"
    in_doubt           = "1"
    dead_lettered_open = "1"
    records            = "1"
    rows_committed     = "1"
    rows_rejected      = "1"
  }

  ours = "resource.type=(\"cloud_run_revision\" OR \"cloud_run_job\") AND jsonPayload.pipeline=\"${local.pipeline}\""
}

resource "google_logging_metric" "counted" {
  for_each    = local.counted
  project     = var.project_id
  name        = "${var.name}/${each.key}"
  description = "Log lines of the event ${each.value}."
  filter      = "${local.ours} AND jsonPayload.event=\"${each.value}\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "lane"
      value_type  = "STRING"
      description = "Lane of the run."
    }
    labels {
      key         = "code"
      value_type  = "STRING"
      description = "Code of the answer, where there is one."
    }
  }

  label_extractors = {
    lane = "EXTRACT(jsonPayload.lane)"
    code = "EXTRACT(jsonPayload.code)"
  }

  depends_on = [google_project_service.needed]
}

resource "google_logging_metric" "measured" {
  for_each        = local.measured
  project         = var.project_id
  name            = "${var.name}/${each.key}"
  description     = "The field ${each.key} at the end of each run."
  filter          = "${local.ours} AND jsonPayload.event=(\"run.finished\" OR \"run.failed\") AND jsonPayload.${each.key}>=0"
  value_extractor = "EXTRACT(jsonPayload.${each.key})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = each.value

    labels {
      key         = "lane"
      value_type  = "STRING"
      description = "Lane of the run."
    }
  }

  label_extractors = {
    lane = "EXTRACT(jsonPayload.lane)"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 64
      growth_factor      = 1.4
      scale              = 1
    }
  }

  depends_on = [google_project_service.needed]
}

# Cloud Scheduler has no metric to trust, but it logs its failures.
resource "google_logging_metric" "scheduler_failed" {
  project     = var.project_id
  name        = "${var.name}/scheduler_failed"
  description = "Attempts of Cloud Scheduler that failed."
  filter      = "resource.type=\"cloud_scheduler_job\" AND severity>=ERROR AND resource.labels.job_id:\"${var.name}-\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.needed]
}
