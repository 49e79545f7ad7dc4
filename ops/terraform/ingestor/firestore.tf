locals {
  # The same file that the Firebase CLI takes; a test holds it against the queries that the code issues.
  firestore = jsondecode(file("${path.module}/../../../firestore.indexes.json"))
}

resource "google_firestore_database" "ledger" {
  project                           = var.project_id
  name                              = "${var.name}-ledger"
  location_id                       = local.firestore_at
  type                              = "FIRESTORE_NATIVE"
  concurrency_mode                  = "OPTIMISTIC"
  app_engine_integration_mode       = "DISABLED"
  point_in_time_recovery_enablement = "POINT_IN_TIME_RECOVERY_ENABLED"
  delete_protection_state           = var.deletion_protection ? "DELETE_PROTECTION_ENABLED" : "DELETE_PROTECTION_DISABLED"
  deletion_policy                   = var.deletion_protection ? "ABANDON" : "DELETE"

  dynamic "cmek_config" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = cmek_config.value
    }
  }

  depends_on = [google_project_service.needed]
}

# Point-in-time recovery reaches back seven days; a backup a day reaches further.
resource "google_firestore_backup_schedule" "daily" {
  project   = var.project_id
  database  = google_firestore_database.ledger.name
  retention = "2592000s"

  daily_recurrence {}
}

resource "google_firestore_index" "query" {
  for_each = {
    for index in local.firestore.indexes :
    join("-", concat([index.collectionGroup], [for field in index.fields : field.fieldPath])) => index
  }
  project     = var.project_id
  database    = google_firestore_database.ledger.name
  collection  = each.value.collectionGroup
  query_scope = each.value.queryScope

  dynamic "fields" {
    for_each = each.value.fields
    content {
      field_path = fields.value.fieldPath
      order      = fields.value.order
    }
  }
}

# Expiry, and no index on what is large or never asked for.
resource "google_firestore_field" "override" {
  for_each   = { for field in local.firestore.fieldOverrides : "${field.collectionGroup}-${field.fieldPath}" => field }
  project    = var.project_id
  database   = google_firestore_database.ledger.name
  collection = each.value.collectionGroup
  field      = each.value.fieldPath

  index_config {}

  dynamic "ttl_config" {
    for_each = try(each.value.ttl, false) ? [true] : []
    content {}
  }
}
