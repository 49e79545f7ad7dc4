locals {
  role        = { for key, role in google_project_iam_custom_role.role : key => role.id }
  run         = "serviceAccount:${google_service_account.run.email}"
  ops         = "serviceAccount:${google_service_account.ops.email}"
  tick        = "serviceAccount:${google_service_account.scheduler.email}"
  deploy      = "serviceAccount:${google_service_account.deploy.email}"
  iap_members = toset([for address in distinct(concat(var.operators, var.viewers)) : "user:${address}"])
}

# Firestore knows no smaller resource than the database, and that only as a condition.
resource "google_project_iam_member" "ledger" {
  for_each = { run_ledger = local.run, ops_ledger = local.ops }
  project  = var.project_id
  role     = local.role[each.key]
  member   = each.value
  condition {
    title      = "${var.name}-ledger-only"
    expression = "resource.name == \"${google_firestore_database.ledger.id}\""
  }
}

resource "google_project_iam_member" "ops_jobs" {
  project = var.project_id
  role    = local.role["ops_jobs"]
  member  = local.ops
}

resource "google_bigquery_table_iam_member" "run" {
  for_each   = local.relations
  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  table_id   = each.value
  role       = local.role["run_tables"]
  member     = local.run
}

resource "google_bigquery_table_iam_member" "ops" {
  for_each   = local.relations
  project    = var.project_id
  dataset_id = google_bigquery_dataset.this.dataset_id
  table_id   = each.value
  role       = local.role["ops_tables"]
  member     = local.ops
}

resource "google_storage_bucket_iam_member" "dead_letters" {
  for_each = { run_bucket = local.run, ops_bucket = local.ops }
  bucket   = google_storage_bucket.dead_letters.name
  role     = local.role[each.key]
  member   = each.value
}

resource "google_secret_manager_secret_iam_member" "source" {
  count     = local.has_secret ? 1 : 0
  project   = var.project_id
  secret_id = google_secret_manager_secret.source[0].secret_id
  role      = local.role["run_secret"]
  member    = local.run
}

resource "google_cloud_run_v2_service_iam_member" "tick" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.run.name
  role     = local.role["tick"]
  member   = local.tick
}

resource "google_cloud_run_v2_job_iam_member" "tick" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.reconcile.name
  role     = local.role["tick"]
  member   = local.tick
}

# People come through IAP only; IAP itself is the one caller of the operators' service.
resource "google_project_service_identity" "iap" {
  provider = google-beta
  project  = var.project_id
  service  = google_project_service.needed["iap.googleapis.com"].service
}

resource "google_cloud_run_v2_service_iam_member" "iap" {
  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.ops.name
  role     = "roles/run.invoker"
  member   = google_project_service_identity.iap.member
}

resource "google_iap_web_cloud_run_service_iam_member" "people" {
  for_each               = local.iap_members
  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.ops.name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

# Delivery pushes images, changes services and job, and may let them run as their accounts.
resource "google_project_iam_member" "deploy" {
  project = var.project_id
  role    = local.role["deploy"]
  member  = local.deploy
}

resource "google_artifact_registry_repository_iam_member" "deploy" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.repository_id
  role       = "roles/artifactregistry.writer"
  member     = local.deploy
}

resource "google_service_account_iam_member" "deploy" {
  for_each           = { run = google_service_account.run.name, ops = google_service_account.ops.name }
  service_account_id = each.value
  role               = "roles/iam.serviceAccountUser"
  member             = local.deploy
}

resource "google_project_iam_member" "deploy_logs" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = local.deploy
}
