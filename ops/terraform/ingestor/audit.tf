# Who read rows, rejected records and the credential. Data-access logs cost by volume: variable audit_services.
resource "google_project_iam_audit_config" "data_access" {
  for_each = toset(var.audit_services)
  project  = var.project_id
  service  = each.value

  dynamic "audit_log_config" {
    for_each = toset(["ADMIN_READ", "DATA_READ", "DATA_WRITE"])
    content {
      log_type = audit_log_config.value
    }
  }
}
