# Training on a GPU: the machine is there while a run lasts and costs nothing otherwise.
resource "google_cloud_run_v2_job" "train" {
  name                = "windcast-train"
  location            = var.region
  deletion_protection = var.deletion_protection

  template {
    task_count  = 1
    parallelism = 1

    template {
      service_account               = google_service_account.this["train"].email
      execution_environment         = "EXECUTION_ENVIRONMENT_GEN2"
      timeout                       = "${var.train_timeout_s}s"
      max_retries                   = 0
      gpu_zonal_redundancy_disabled = true

      node_selector {
        accelerator = "nvidia-l4"
      }

      containers {
        image   = var.train_image
        command = ["/bin/bash", "-c"]
        args    = [file("${path.module}/retrain.sh")]

        resources {
          limits = {
            cpu              = var.train_cpu
            memory           = var.train_memory
            "nvidia.com/gpu" = "1"
          }
        }

        env {
          name  = "WINDCAST_SOURCE"
          value = "https://github.com/${var.github_repository}.git"
        }

        env {
          name  = "WINDCAST_BRANCH"
          value = var.github_branch
        }

        env {
          name  = "WINDCAST_DATA"
          value = "gs://${google_storage_bucket.this["data"].name}"
        }

        volume_mounts {
          name       = "models"
          mount_path = "/models"
        }
      }

      volumes {
        name = "models"
        gcs {
          bucket    = google_storage_bucket.this["models"].name
          read_only = false
        }
      }
    }
  }

  lifecycle {
    ignore_changes = [client, client_version]
  }

  depends_on = [
    google_storage_bucket_iam_member.train_keeps_data,
    google_storage_bucket_iam_member.train_writes_models,
  ]
}
