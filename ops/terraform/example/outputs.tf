output "run_url" {
  description = "Where Cloud Scheduler posts."
  value       = module.ingestor.run_url
}

output "ops_url" {
  description = "The operators' pages."
  value       = module.ingestor.ops_url
}

output "registry" {
  description = "Where images are pushed."
  value       = module.ingestor.registry
}

output "deploy_account" {
  description = "Account for Cloud Build or the GitHub workflow."
  value       = module.ingestor.deploy_account
}
