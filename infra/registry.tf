resource "google_artifact_registry_repository" "windcast" {
  # checkov:skip=CKV_GCP_84:Google's own keys encrypt it; a key of ours would have to be kept, rotated and paid for
  repository_id = "windcast"
  location      = var.region
  format        = "DOCKER"
  description   = "Images windcast-serve, windcast-train and windcast-train-gpu."

  # What a version means cannot be changed afterwards.
  docker_config {
    immutable_tags = true
  }

  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  # A policy that keeps wins over one that deletes.
  cleanup_policies {
    id     = "keep-the-last-ten"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "delete-after-a-month"
    action = "DELETE"
    condition {
      tag_state  = "ANY"
      older_than = "2592000s"
    }
  }

  depends_on = [google_project_service.api]
}
