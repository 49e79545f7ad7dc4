locals {
  # What a job runs as, and with which arguments. Other arguments for one execution: gcloud run jobs execute --args.
  jobs = {
    run       = ["ingestor", "run", "--json"]
    reconcile = ["ingestor", "reconcile", "--json"]
  }
}

# Backfills, all partitions at once, and the smoke test of a delivery (`ingestor check`).
resource "google_cloud_run_v2_job" "run" {
  project             = var.project_id
  name                = "${var.name}-job"
  location            = var.region
  labels              = local.labels
  deletion_protection = var.deletion_protection

  template {
    labels      = local.labels
    task_count  = var.partitions
    parallelism = var.partitions

    template {
      service_account = google_service_account.run.email
      encryption_key  = var.kms_key
      timeout         = "86400s"
      max_retries     = 3

      containers {
        image = var.image
        args  = local.jobs.run

        resources {
          limits = { cpu = var.cpu, memory = var.memory }
        }

        dynamic "env" {
          for_each = merge(local.environment, { SERVICE_LABEL = "${var.name}-job" })
          content {
            name  = env.key
            value = env.value
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
  }

  lifecycle {
    ignore_changes = [client, client_version, template[0].template[0].containers[0].image]
  }

  depends_on = [google_project_service.needed, google_project_iam_member.ledger]
}

# Reconcile asks BigQuery, which a run may not: it has the operators' account.
resource "google_cloud_run_v2_job" "reconcile" {
  project             = var.project_id
  name                = "${var.name}-reconcile"
  location            = var.region
  labels              = local.labels
  deletion_protection = var.deletion_protection

  template {
    labels = local.labels

    template {
      service_account = google_service_account.ops.email
      encryption_key  = var.kms_key
      timeout         = "3600s"
      max_retries     = 0

      containers {
        image = var.image
        args  = local.jobs.reconcile

        resources {
          limits = { cpu = var.cpu, memory = var.memory }
        }

        dynamic "env" {
          for_each = merge(local.environment, { SERVICE_LABEL = "${var.name}-reconcile" })
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version, template[0].template[0].containers[0].image]
  }

  depends_on = [google_project_service.needed, google_project_iam_member.ledger]
}
