output "run_url" {
  description = "Where Cloud Scheduler posts."
  value       = local.run_url
}

output "ops_url" {
  description = "The operators' pages; sign in with an address of operators or viewers."
  value       = google_cloud_run_v2_service.ops.uri
}

output "registry" {
  description = "Where images are pushed."
  value       = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.repository_id}"
}

output "dead_letter_bucket" {
  description = "Where dead letters are."
  value       = google_storage_bucket.dead_letters.name
}

output "secret" {
  description = "Secret that the source's credential is added to; null when the source wants none."
  value       = local.has_secret ? google_secret_manager_secret.source[0].id : null
}

output "deploy_account" {
  description = "Account for Cloud Build or the GitHub workflow."
  value       = google_service_account.deploy.email
}
