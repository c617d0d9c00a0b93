# The places of the secrets. What is in them is added by hand (README.md) and never stands in Terraform's state.
resource "google_secret_manager_secret" "this" {
  for_each = toset(["windcast-keys", "windcast-store-url", "windcast-smoke-key"])

  secret_id           = each.value
  deletion_protection = var.deletion_protection
  # A version that was destroyed by mistake can be had back for a day.
  version_destroy_ttl = "86400s"

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [google_project_service.api]
}
