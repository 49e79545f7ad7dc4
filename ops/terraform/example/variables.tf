# Checked by the module, where each is described in full.

variable "project_id" {
  description = "Project in which everything is created."
  type        = string
}

variable "region" {
  description = "Region, for example europe-west1."
  type        = string
}

variable "dataset_id" {
  description = "BigQuery dataset, created here."
  type        = string
}

variable "table_id" {
  description = "Destination table."
  type        = string
}

variable "message_type" {
  description = "Full name of the protobuf message of a row."
  type        = string
}

variable "source_url" {
  description = "URL of the first request to the source."
  type        = string
}

variable "image" {
  description = "Image by digest."
  type        = string
}

variable "operators" {
  description = "E-mail addresses of the people who may replay and discard."
  type        = list(string)
}

variable "alert_emails" {
  description = "E-mail addresses that alerts go to."
  type        = list(string)
}

variable "settings" {
  description = "Further settings by environment variable."
  type        = map(string)
  default     = {}
}
