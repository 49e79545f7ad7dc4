# One tick a partition. unix-cron: only then is the tick's time the same across its retries.
resource "google_cloud_scheduler_job" "tick" {
  for_each         = local.partitions
  project          = var.project_id
  region           = var.region
  name             = "${var.name}-tick-${each.value}"
  description      = "Starts a run of partition ${each.value} of ${local.pipeline}"
  schedule         = var.schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "540s"

  # Delivery is at least once anyway: a second attempt that finds a live run is answered `skipped`.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
    max_backoff_duration = "120s"
  }

  http_target {
    http_method = "POST"
    uri         = "${local.run_url}/run?partition=${each.value}"

    oidc_token {
      service_account_email = google_service_account.scheduler.email
      audience              = local.run_url
    }
  }

  depends_on = [google_project_service.needed, google_cloud_run_v2_service_iam_member.tick]
}

# Ledger against table, every night: the books must balance.
resource "google_cloud_scheduler_job" "reconcile" {
  project          = var.project_id
  region           = var.region
  name             = "${var.name}-reconcile"
  description      = "Compares ledger and table of ${local.pipeline}"
  schedule         = "17 3 * * *"
  time_zone        = "Etc/UTC"
  attempt_deadline = "180s"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.reconcile.id}:run"

    oauth_token {
      service_account_email = google_service_account.scheduler.email
    }
  }

  depends_on = [google_project_service.needed, google_cloud_run_v2_job_iam_member.tick]
}
