# Dead letters. What may be read here are rejected records as they came from the source: personal data, perhaps.
resource "google_storage_bucket" "dead_letters" {
  # checkov:skip=CKV_GCP_62:Cloud Audit Logs of data access (audit.tf) say who read what; access logs would be a second bucket of the same
  # checkov:skip=CKV_GCP_78:objects are created once and never overwritten, and soft delete keeps what is deleted for seven days
  project                     = var.project_id
  name                        = "${var.project_id}-${var.name}-dead-letters"
  location                    = var.region
  labels                      = local.labels
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  retention_policy {
    retention_period = tostring(var.dead_letter_retention_days * 86400)
  }

  soft_delete_policy {
    retention_duration_seconds = 604800
  }

  # No rule deletes by age: an object ages out only after somebody gave it a custom time, which is done for closed dead
  # letters (runbook dead-letters). So the bucket never ages out what the ledger holds open.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_custom_time = var.closed_dead_letter_days
    }
  }

  lifecycle_rule {
    action {
      type          = "SetStorageClass"
      storage_class = "NEARLINE"
    }
    condition {
      age = 60
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [var.kms_key]
    content {
      default_kms_key_name = encryption.value
    }
  }

  depends_on = [google_project_service.needed]
}
