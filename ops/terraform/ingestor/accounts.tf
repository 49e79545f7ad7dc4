# One account for each thing that calls Google Cloud, none with a key.

resource "google_service_account" "run" {
  project      = var.project_id
  account_id   = "${var.name}-run"
  display_name = "Runs of ${local.pipeline}"
}

resource "google_service_account" "ops" {
  project      = var.project_id
  account_id   = "${var.name}-ops"
  display_name = "Operators' service of ${local.pipeline}: replay, plan, reconcile"
}

resource "google_service_account" "scheduler" {
  project      = var.project_id
  account_id   = "${var.name}-tick"
  display_name = "Starts runs of ${local.pipeline}"
}

resource "google_service_account" "deploy" {
  project      = var.project_id
  account_id   = "${var.name}-deploy"
  display_name = "Delivers new images of ${local.pipeline}"
}
