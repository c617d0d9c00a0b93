# Two buckets: the versions of the data (DVC's remote), and the registry that `windcast promote` writes.
locals {
  buckets = {
    data   = "${var.project}-windcast-data"
    models = "${var.project}-windcast-models"
  }
}

resource "google_storage_bucket" "this" {
  # checkov:skip=CKV_GCP_62:who reads or writes is told by Cloud Audit Logs; access logs would need a third bucket
  for_each = local.buckets

  name                        = each.value
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false

  versioning {
    enabled = true
  }

  # An overwritten pointer or a deleted bundle can be had back for a while; then it stops costing.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = var.old_versions_days
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }

  depends_on = [google_project_service.api]
}
