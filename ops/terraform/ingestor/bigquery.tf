locals {
  tables    = { table = local.schema.table, ledger = local.schema.ledger }
  relations = merge({ table = google_bigquery_table.table.table_id, ledger = google_bigquery_table.ledger.table_id }, { for id, view in merge(google_bigquery_table.view, google_bigquery_table.latest) : id => view.table_id })
}

resource "google_bigquery_dataset" "this" {
  project                    = var.project_id
  dataset_id                 = var.dataset_id
  location                   = local.bigquery_at
  description                = "Rows of ${local.pipeline}. Read ${var.table_id}_dedup."
  labels                     = local.labels
  delete_contents_on_destroy = false
  max_time_travel_hours      = "168"

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  lifecycle {
    precondition {
      condition     = local.schema.table.id == var.table_id && strcontains(jsonencode(local.schema.views), "${var.project_id}.${var.dataset_id}.")
      error_message = "schema_file is of another project, dataset or table: write it anew with `ingestor schema sql --json`."
    }
  }

  depends_on = [google_project_service.needed]
}

# Made once from what `schema sql` says; every later change of columns is `ingestor schema apply`'s.
resource "google_bigquery_table" "table" {
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = local.tables.table.id
  description         = "Rows of ${local.pipeline}, doubles included: read ${var.table_id}_dedup."
  labels              = local.labels
  deletion_protection = var.deletion_protection
  schema              = jsonencode(local.tables.table.schema)
  clustering          = local.tables.table.clustering

  time_partitioning {
    type          = "DAY"
    field         = local.tables.table.partitioning
    expiration_ms = var.row_retention_days == null ? null : var.row_retention_days * 86400000
  }

  dynamic "encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = encryption_configuration.value
    }
  }

  lifecycle {
    ignore_changes = [schema]
  }
}

# Without a statement about its batch no row is visible, so nothing here ever expires.
resource "google_bigquery_table" "ledger" {
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = local.tables.ledger.id
  description         = "What the ledger says of each batch; ${var.table_id}_dedup goes by it."
  labels              = local.labels
  deletion_protection = var.deletion_protection
  schema              = jsonencode(local.tables.ledger.schema)
  clustering          = local.tables.ledger.clustering

  dynamic "encryption_configuration" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      kms_key_name = encryption_configuration.value
    }
  }

  lifecycle {
    ignore_changes = [schema]
  }
}

resource "google_bigquery_table" "view" {
  # checkov:skip=CKV_GCP_80:a view stores no rows, so there is nothing to encrypt; the tables that it reads have the key
  for_each            = local.schema.views
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  description         = "Every row of every committed batch of ${local.pipeline} once."
  labels              = local.labels
  deletion_protection = var.deletion_protection

  view {
    query          = each.value
    use_legacy_sql = false
  }

  lifecycle {
    ignore_changes = [schema, view]
  }

  depends_on = [google_bigquery_table.table, google_bigquery_table.ledger]
}

resource "google_bigquery_table" "latest" {
  # checkov:skip=CKV_GCP_80:a view stores no rows, so there is nothing to encrypt; the tables that it reads have the key
  for_each            = local.schema.latest
  project             = var.project_id
  dataset_id          = google_bigquery_dataset.this.dataset_id
  table_id            = each.key
  description         = "The newest row of each business key of ${local.pipeline}."
  labels              = local.labels
  deletion_protection = var.deletion_protection

  view {
    query          = each.value
    use_legacy_sql = false
  }

  lifecycle {
    ignore_changes = [schema, view]
  }

  depends_on = [google_bigquery_table.view]
}
