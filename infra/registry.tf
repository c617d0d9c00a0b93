locals {
  repository = google_artifact_registry_repository.windcast.repository_id
}

resource "google_artifact_registry_repository" "windcast" {
  # checkov:skip=CKV_GCP_84:Google's own keys encrypt it; a key of ours would have to be kept, rotated and paid for
  repository_id = "windcast"
  location      = var.region
  format        = "DOCKER"
  description   = "Images windcast-serve, windcast-train and windcast-train-gpu."

  # Tags may move, so deployments name a digest. Immutable tags would keep the policies below from deleting anything
  # that has one.
  docker_config {
    immutable_tags = false
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
