# The service. Terraform makes it and owns its shape; which image runs and who gets the traffic is the deployment's.
resource "google_cloud_run_v2_service" "windcast" {
  name                = "windcast"
  location            = var.region
  description         = "Calibrated probabilistic wind power forecasts."
  ingress             = var.ingress
  deletion_protection = var.deletion_protection

  template {
    service_account                  = google_service_account.this["serve"].email
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    timeout                          = "120s"
    max_instance_request_concurrency = 80

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = google_compute_network.windcast.id
        subnetwork = google_compute_subnetwork.service.id
      }
    }

    containers {
      image   = var.serve_image
      command = ["windcast"]
      args = concat(
        ["serve", "--host", "0.0.0.0", "--port", "8000", "--keys", "/keys/keys.json", "--registry", "/models/registry"],
        flatten([for farm in var.farms : ["--champion", farm]]),
      )

      ports {
        container_port = 8000
      }

      resources {
        limits = {
          cpu    = var.cpu
          memory = var.memory
        }
        # The service issues forecasts by its own clock: it needs its processor between requests too.
        cpu_idle          = false
        startup_cpu_boost = true
      }

      env {
        name = "WINDCAST_STORE"
        value_source {
          secret_key_ref {
            secret  = google_secret_manager_secret.this["windcast-store-url"].secret_id
            version = "latest"
          }
        }
      }

      # No traffic before bundles are loaded and the store answers.
      startup_probe {
        period_seconds    = 2
        timeout_seconds   = 2
        failure_threshold = 60
        http_get {
          path = "/ready"
          port = 8000
        }
      }

      # Started anew only when the process hangs, not when the database is away.
      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/health"
          port = 8000
        }
      }

      volume_mounts {
        name       = "models"
        mount_path = "/models"
      }

      volume_mounts {
        name       = "keys"
        mount_path = "/keys"
      }

      volume_mounts {
        name       = "cloudsql"
        mount_path = "/cloudsql"
      }
    }

    volumes {
      name = "models"
      gcs {
        bucket    = google_storage_bucket.this["models"].name
        read_only = true
      }
    }

    volumes {
      name = "keys"
      secret {
        secret       = google_secret_manager_secret.this["windcast-keys"].secret_id
        default_mode = 292 # 0444: the service is not root
        items {
          path    = "keys.json"
          version = "latest"
        }
      }
    }

    volumes {
      name = "cloudsql"
      cloud_sql_instance {
        instances = [google_sql_database_instance.store.connection_name]
      }
    }
  }

  # The deployment workflow sets these: the image, the champion's folder (args), a canary's name and traffic, and its
  # own name as the client. If Terraform owned them, an apply between two deployments would undo the second.
  lifecycle {
    ignore_changes = [
      client,
      client_version,
      template[0].containers[0].args,
      template[0].containers[0].image,
      template[0].revision,
      traffic,
    ]
  }

  # What the first revision needs in order to start.
  depends_on = [
    google_project_iam_member.serve_connects,
    google_secret_manager_secret_iam_member.serve_reads,
    google_storage_bucket_iam_member.serve_reads_models,
  ]
}

# Who may reach it. The service asks for an API key besides.
resource "google_cloud_run_v2_service_iam_member" "anyone" {
  # checkov:skip=CKV_GCP_102:only with public = true, which is off by default; the service still asks for a key
  count = var.public ? 1 : 0

  name     = google_cloud_run_v2_service.windcast.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_cloud_run_v2_service_iam_member" "invokers" {
  for_each = var.invokers

  name     = google_cloud_run_v2_service.windcast.name
  location = var.region
  role     = "roles/run.invoker"
  member   = each.value
}
