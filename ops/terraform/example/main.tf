# The whole of one pipeline. Copy this folder, keep `source`, and fill in terraform.tfvars.
terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 6.50"
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 6.50"
    }
  }

  # Where the state is kept: terraform init -backend-config=bucket=MY_STATE_BUCKET
  backend "gcs" {
    prefix = "ingestor"
  }
}

provider "google" {
  project = var.project_id
  region  = var.region
}

provider "google-beta" {
  project = var.project_id
  region  = var.region
}

module "ingestor" {
  source = "../ingestor"

  project_id   = var.project_id
  region       = var.region
  dataset_id   = var.dataset_id
  table_id     = var.table_id
  message_type = var.message_type
  source_url   = var.source_url
  image        = var.image
  schema_file  = "${path.root}/schema.json"
  operators    = var.operators
  alert_emails = var.alert_emails

  # Everything else has a default: see ../ingestor/variables.tf.
  settings = var.settings
}
