# The run service: POST /run, called by Cloud Scheduler and nobody else.
resource "google_cloud_run_v2_service" "run" {
  project              = var.project_id
  name                 = "${var.name}-run"
  location             = var.region
  labels               = local.labels
  ingress              = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  invoker_iam_disabled = false
  deletion_protection  = var.deletion_protection

  template {
    labels          = local.labels
    service_account = google_service_account.run.email
    encryption_key  = var.kms_key
    timeout         = "600s"
    # Runs of one lane exclude each other in the ledger; the threads of one instance answer overlapping ticks.
    max_instance_request_concurrency = 8

    scaling {
      min_instance_count = 0
      max_instance_count = var.partitions
    }

    containers {
      image = var.image

      resources {
        limits            = { cpu = var.cpu, memory = var.memory }
        cpu_idle          = true
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.run_environment
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

      liveness_probe {
        period_seconds    = 60
        timeout_seconds   = 10
        failure_threshold = 5
        http_get {
          path = "/health"
        }
      }
    }

    dynamic "vpc_access" {
      for_each = var.network == null ? [] : [var.network]
      content {
        egress = "PRIVATE_RANGES_ONLY"
        network_interfaces {
          network    = vpc_access.value.network
          subnetwork = vpc_access.value.subnetwork
        }
      }
    }
  }

  lifecycle {
    # Delivery sets the image, the revision and where traffic goes.
    ignore_changes = [client, client_version, template[0].containers[0].image, template[0].revision, traffic]
  }

  depends_on = [google_project_service.needed, google_project_iam_member.ledger]
}
