# The operators' service: pages and API, for people who come through IAP.
resource "google_cloud_run_v2_service" "ops" {
  provider             = google-beta
  project              = var.project_id
  name                 = "${var.name}-ops"
  location             = var.region
  labels               = local.labels
  ingress              = "INGRESS_TRAFFIC_ALL"
  iap_enabled          = true
  invoker_iam_disabled = false
  deletion_protection  = var.deletion_protection
  launch_stage         = "BETA"

  template {
    labels                           = local.labels
    service_account                  = google_service_account.ops.email
    encryption_key                   = var.kms_key
    timeout                          = "600s"
    max_instance_request_concurrency = 8

    scaling {
      min_instance_count = 0
      max_instance_count = 2
    }

    containers {
      image = var.image
      args  = ["gunicorn", "--config", "python:ops.gunicorn_settings", "ops.web:create_app()"]

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.ops_environment
        content {
          name  = env.key
          value = env.value
        }
      }

      startup_probe {
        period_seconds    = 5
        timeout_seconds   = 4
        failure_threshold = 12
        http_get {
          path = "/health"
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version, template[0].containers[0].image, template[0].revision, traffic]
  }

  depends_on = [google_project_service.needed, google_project_iam_member.ledger]
}
