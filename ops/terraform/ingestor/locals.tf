data "google_project" "this" {
  project_id = var.project_id
}

locals {
  number       = data.google_project.this.number
  pipeline     = coalesce(var.pipeline_id, var.table_id)
  bigquery_at  = coalesce(var.bigquery_location, var.region)
  firestore_at = coalesce(var.firestore_location, var.region)
  labels       = merge(var.labels, { app = var.name, pipeline = lower(replace(local.pipeline, ".", "-")) })
  schema       = jsondecode(file(var.schema_file))
  has_secret   = can(regex("^(bearer|basic|header:)", var.source_auth))
  partitions   = toset([for index in range(var.partitions) : tostring(index)])

  # Known before the services exist, so that their own settings can name them. Cloud Run answers on it besides the other URL.
  run_url = "https://${var.name}-run-${local.number}.${var.region}.run.app"
  # What IAP signs for when it stands directly before a Cloud Run service.
  iap_audience = "/projects/${local.number}/locations/${var.region}/services/${var.name}-ops"

  environment = merge(
    {
      GCP_PROJECT_ID     = var.project_id
      BQ_DATASET_ID      = var.dataset_id
      BQ_TABLE_ID        = var.table_id
      PIPELINE_ID        = local.pipeline
      MESSAGE_TYPE       = var.message_type
      SOURCE_URL         = var.source_url
      SOURCE_AUTH        = var.source_auth
      SOURCE_PARTITIONS  = tostring(var.partitions)
      DEAD_LETTER_BUCKET = google_storage_bucket.dead_letters.name
      LEDGER             = "firestore"
      FIRESTORE_DATABASE = google_firestore_database.ledger.name
    },
    local.has_secret ? { SOURCE_SECRET = "${google_secret_manager_secret.source[0].id}/versions/latest" } : {},
    var.settings,
  )
  run_environment = merge(local.environment, {
    SERVICE_LABEL  = "${var.name}-run"
    AUTH           = "platform"
    AUTH_AUDIENCE  = local.run_url
    AUTH_INVOKERS  = google_service_account.scheduler.email
    RUN_DEADLINE_S = lookup(var.settings, "RUN_DEADLINE_S", "480")
  })
  ops_environment = merge(local.environment, {
    SERVICE_LABEL  = "${var.name}-ops"
    AUTH           = "iap"
    AUTH_AUDIENCE  = local.iap_audience
    AUTH_OPERATORS = join(",", var.operators)
    AUTH_VIEWERS   = join(",", var.viewers)
  })
}
