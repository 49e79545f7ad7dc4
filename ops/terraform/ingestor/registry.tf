resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = var.name
  description   = "Images of ${local.pipeline}"
  format        = "DOCKER"
  labels        = local.labels
  kms_key_name  = var.kms_key

  docker_config {
    immutable_tags = true
  }

  # A rollback needs the images of the last months, and no others.
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 20
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "7776000s"
    }
  }

  depends_on = [google_project_service.needed]
}
