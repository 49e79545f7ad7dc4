# The source's credential. Its value is added by hand and never stands in Terraform's state:
#   printf %s "$TOKEN" | gcloud secrets versions add NAME-source --data-file=-
resource "google_secret_manager_secret" "source" {
  count               = local.has_secret ? 1 : 0
  project             = var.project_id
  secret_id           = "${var.name}-source"
  labels              = local.labels
  version_destroy_ttl = "604800s"

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.kms_key == null ? [] : [var.kms_key]
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  depends_on = [google_project_service.needed]
}
