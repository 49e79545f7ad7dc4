# Needed: these have no default.

variable "project_id" {
  description = "Project in which everything is created."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, for example my-project-123."
  }
}

variable "region" {
  description = "Region of Cloud Run, Scheduler, the registry and the bucket, and of BigQuery and Firestore unless told otherwise."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "Name a single region such as europe-west1; multi-regions have variables of their own."
  }
}

variable "dataset_id" {
  description = "BigQuery dataset, created here."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.dataset_id))
    error_message = "A dataset id has letters, digits and underscores only."
  }
}

variable "table_id" {
  description = "Destination table; ledger table and view are named after it."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9_]+$", var.table_id))
    error_message = "A table id has letters, digits and underscores only."
  }
}

variable "message_type" {
  description = "Full name of the protobuf message of a row, for example flights.Flight. Its .proto is compiled into the image."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_]*)*$", var.message_type))
    error_message = "Write package and message joined by dots, for example flights.Flight."
  }
}

variable "source_url" {
  description = "URL of the first request to the source; may contain {partition}."
  type        = string
  validation {
    condition     = can(regex("^https?://[^\\s@]+$", var.source_url))
    error_message = "Give an http(s) URL without credentials in it; a credential goes into the secret."
  }
}

variable "image" {
  description = "Image of both services and the job, by digest. Terraform sets it once; afterwards delivery owns it."
  type        = string
  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "Name the image by digest: REGION-docker.pkg.dev/PROJECT/REPOSITORY/ingestor@sha256:…"
  }
}

variable "schema_file" {
  description = "File that `ingestor schema sql --json` printed for these project, dataset, table and message."
  type        = string
  validation {
    condition     = can(jsondecode(file(var.schema_file)).table.schema)
    error_message = "Write the file first: .venv/bin/ingestor schema sql --json > schema.json"
  }
}

variable "operators" {
  description = "E-mail addresses of the people who may replay and discard, through IAP."
  type        = list(string)
  validation {
    condition     = length(var.operators) > 0 && alltrue([for address in var.operators : can(regex("^[^@\\s,:]+@[^@\\s,:]+$", address))])
    error_message = "Name at least one plain e-mail address, without user: or group: before it."
  }
}

variable "alert_emails" {
  description = "E-mail addresses that alerts go to; more channels by notification_channels."
  type        = list(string)
  validation {
    condition     = length(var.alert_emails) > 0 && alltrue([for address in var.alert_emails : can(regex("^[^@\\s,]+@[^@\\s,]+$", address))])
    error_message = "Name at least one e-mail address: an alert that reaches nobody is none."
  }
}

# Optional: names and places.

variable "name" {
  description = "Beginning of the names of what is created."
  type        = string
  default     = "ingestor"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "Use 3 to 20 lower-case letters, digits and hyphens: account ids are made of it and end at 30."
  }
}

variable "pipeline_id" {
  description = "Name of the pipeline in the ledger; null: table_id."
  type        = string
  default     = null
}

variable "bigquery_location" {
  description = "Location of the dataset; null: region."
  type        = string
  default     = null
}

variable "firestore_location" {
  description = "Location of the Firestore database; null: region. It can never be changed."
  type        = string
  default     = null
}

variable "labels" {
  description = "Labels put on everything that takes labels, beside app and pipeline: cost reports group by them."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels have lower-case letters, digits, hyphens and underscores, at most 63."
  }
}

variable "viewers" {
  description = "E-mail addresses of the people who may look at the operators' pages but change nothing."
  type        = list(string)
  default     = []
}

variable "notification_channels" {
  description = "Full names of further notification channels, for example of PagerDuty."
  type        = list(string)
  default     = []
}

variable "runbooks_url" {
  description = "URL of the folder with the runbooks, shown as a link in each alert; its text is in the alert anyway. Null: no link."
  type        = string
  default     = null
}

# Optional: the source.

variable "settings" {
  description = "Further settings by environment variable, for example { SOURCE_PAGINATION = \"offset\" }; docs/configuration.md has them all."
  type        = map(string)
  default     = {}
  validation {
    condition     = alltrue([for key in keys(var.settings) : can(regex("^(SOURCE|BATCH|MAX_IN_FLIGHT|APPEND|LEDGER_STALE|LEDGER_RETENTION|RUN_DEADLINE|FUSE|MASK_FIELDS|DEDUP_KEY|LOG_LEVEL)", key))])
    error_message = "Only settings of source, batches, ledger times, fuse, view, masking and logs; the rest has variables of its own."
  }
}

variable "source_auth" {
  description = "SOURCE_AUTH; with bearer, basic or header:NAME the credential is a version that you add to the secret."
  type        = string
  default     = "none"
  validation {
    condition     = can(regex("^(none|bearer|basic|header:[A-Za-z0-9-]+|id_token:\\S+)$", var.source_auth))
    error_message = "Use none, bearer, basic, header:NAME or id_token:AUDIENCE."
  }
}

variable "partitions" {
  description = "SOURCE_PARTITIONS: lanes, each with a schedule of its own."
  type        = number
  default     = 1
  validation {
    condition     = var.partitions >= 1 && var.partitions <= 50 && floor(var.partitions) == var.partitions
    error_message = "Use a whole number from 1 to 50."
  }
}

variable "schedule" {
  description = "When runs start, in unix-cron, UTC."
  type        = string
  default     = "*/10 * * * *"
}

variable "network" {
  description = "VPC network and subnetwork through which the source is reached; null: the internet."
  type        = object({ network = string, subnetwork = string })
  default     = null
}

# Optional: keeping and protecting.

variable "kms_key" {
  description = "Full name of the KMS key for everything at rest; null: Google's keys. The services' agents need cryptoKeyEncrypterDecrypter on it."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Refuse to delete database, tables, services and bucket contents. Turn it off only to take everything down."
  type        = bool
  default     = true
}

variable "row_retention_days" {
  description = "Days after which partitions of the table expire; null: never. The ledger table never expires."
  type        = number
  default     = null
  validation {
    condition     = var.row_retention_days == null ? true : var.row_retention_days >= 1
    error_message = "Use at least 1 day, or null for ever."
  }
}

variable "dead_letter_retention_days" {
  description = "Days in which nobody can delete a dead letter, not even an owner of the bucket."
  type        = number
  default     = 7
  validation {
    condition     = var.dead_letter_retention_days >= 1 && var.dead_letter_retention_days <= 365
    error_message = "Use 1 to 365 days."
  }
}

variable "closed_dead_letter_days" {
  description = "Days after an object's custom time at which it is deleted. Only operators set a custom time, on closed dead letters; what the ledger holds open has none and stays."
  type        = number
  default     = 30
  validation {
    condition     = var.closed_dead_letter_days >= 1
    error_message = "Use at least 1 day."
  }
}

variable "audit_services" {
  description = "Services whose data access is logged: who read rows, rejected records, the credential."
  type        = list(string)
  default     = ["bigquery.googleapis.com", "iap.googleapis.com", "secretmanager.googleapis.com", "storage.googleapis.com"]
}

# Optional: size.

variable "memory" {
  description = "Memory of a run; docs/performance.md says how it follows from page size and window."
  type        = string
  default     = "1Gi"
  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "Write it as Cloud Run does: 512Mi, 1Gi."
  }
}

variable "cpu" {
  description = "Cores of a run; it uses one, and the second shortens garbage collection and TLS only."
  type        = string
  default     = "1"
}

variable "thresholds" {
  description = "Where alerts begin. Seconds, counts a window, ratios, bytes a day; each has its meaning in ops/terraform/ingestor/alerts.tf."
  type = object({
    lag_s                  = optional(number, 3600)
    in_doubt_s             = optional(number, 1800)
    rejection_ratio        = optional(number, 0.01)
    run_latency_ms         = optional(number, 500000)
    write_connections      = optional(number, 800)
    firestore_contention   = optional(number, 20)
    auth_refusals          = optional(number, 20)
    uploaded_bytes_per_day = optional(number, 107374182400)
  })
  default = {}
}
