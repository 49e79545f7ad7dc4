# Custom roles with the permissions that the code asks for and no others. docs/security.md has the table of permission and
# call site; a test compares it with the calls in the code and with this map.
locals {
  permissions = {
    # Firestore asks for `create` where a write says "must not exist", `update` where it must, both where it may.
    run_ledger = ["datastore.entities.create", "datastore.entities.get", "datastore.entities.list", "datastore.entities.update"]
    run_tables = ["bigquery.tables.get", "bigquery.tables.updateData"]
    run_bucket = ["storage.objects.create", "storage.objects.get"]
    run_secret = ["secretmanager.versions.access"]
    ops_ledger = ["datastore.entities.create", "datastore.entities.get", "datastore.entities.list", "datastore.entities.update"]
    ops_jobs   = ["bigquery.jobs.create"]
    ops_tables = ["bigquery.tables.get", "bigquery.tables.getData", "bigquery.tables.updateData"]
    ops_bucket = ["storage.objects.create", "storage.objects.get"]
    tick       = ["run.jobs.run", "run.routes.invoke"]
    # The new revision, its traffic, and one execution of the job; `schema check` reads the tables.
    deploy = [
      "bigquery.tables.get",
      "run.executions.get",
      "run.jobs.get",
      "run.jobs.run",
      "run.jobs.runWithOverrides",
      "run.jobs.update",
      "run.operations.get",
      "run.revisions.get",
      "run.revisions.list",
      "run.services.get",
      "run.services.update",
    ]
  }
}

resource "google_project_iam_custom_role" "role" {
  for_each    = local.permissions
  project     = var.project_id
  role_id     = replace("${var.name}_${each.key}", "-", "_")
  title       = "${var.name} ${replace(each.key, "_", " ")}"
  description = "See ops/terraform/ingestor/roles.tf"
  permissions = each.value
}
