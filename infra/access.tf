# What each account may do, on the one thing it may do it to. Of the whole project only what Google offers no other way.

# The service: reads models and its two secrets.
resource "google_storage_bucket_iam_member" "serve_reads_models" {
  bucket = google_storage_bucket.this["models"].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["serve"].member
}

resource "google_secret_manager_secret_iam_member" "serve_reads" {
  for_each = toset(["windcast-keys", "windcast-store-url"])

  secret_id = google_secret_manager_secret.this[each.value].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this["serve"].member
}

# Cloud SQL has no policy of an instance; the condition is how one is named.
resource "google_project_iam_member" "serve_connects" {
  project = var.project
  role    = "roles/cloudsql.client"
  member  = google_service_account.this["serve"].member

  condition {
    title       = "windcast-database"
    description = "This database alone."
    expression = join(" && ", [
      "resource.service == 'sqladmin.googleapis.com'",
      "resource.name == 'projects/${var.project}/instances/${google_sql_database_instance.store.name}'",
    ])
  }
}

# Training: pulls and pushes data, writes models.
resource "google_storage_bucket_iam_member" "train_keeps_data" {
  bucket = google_storage_bucket.this["data"].name
  role   = "roles/storage.objectUser"
  member = google_service_account.this["train"].member
}

resource "google_storage_bucket_iam_member" "train_writes_models" {
  bucket = google_storage_bucket.this["models"].name
  role   = "roles/storage.objectUser"
  member = google_service_account.this["train"].member
}

resource "google_cloud_run_v2_job_iam_member" "train_runs" {
  for_each = toset(["roles/run.jobsExecutorWithOverrides", "roles/run.viewer"])

  name     = google_cloud_run_v2_job.train.name
  location = var.region
  role     = each.value
  member   = google_service_account.this["train"].member
}

# Deployment: a revision of this service, run as its account and as no other, from these images, of what was promoted.
resource "google_cloud_run_v2_service_iam_member" "deploy" {
  for_each = toset(["roles/run.developer", "roles/run.invoker"])

  name     = google_cloud_run_v2_service.windcast.name
  location = var.region
  role     = each.value
  member   = google_service_account.this["deploy"].member
}

resource "google_service_account_iam_member" "deploy_acts_as_serve" {
  service_account_id = google_service_account.this["serve"].name
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.this["deploy"].member
}

resource "google_artifact_registry_repository_iam_member" "deploy_reads_images" {
  repository = google_artifact_registry_repository.windcast.name
  location   = var.region
  role       = "roles/artifactregistry.reader"
  member     = google_service_account.this["deploy"].member
}

resource "google_storage_bucket_iam_member" "deploy_reads_models" {
  bucket = google_storage_bucket.this["models"].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["deploy"].member
}

# A release is a copy of the champion that no later promotion touches: it may be made, and not be changed.
resource "google_storage_bucket_iam_member" "deploy_makes_releases" {
  bucket = google_storage_bucket.this["models"].name
  role   = "roles/storage.objectCreator"
  member = google_service_account.this["deploy"].member

  condition {
    title      = "releases"
    expression = "resource.name.startsWith('projects/_/buckets/${local.buckets.models}/objects/releases/')"
  }
}

resource "google_secret_manager_secret_iam_member" "deploy_reads_smoke_key" {
  secret_id = google_secret_manager_secret.this["windcast-smoke-key"].id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.this["deploy"].member
}

# A canary is judged by the service's request log, and `gcloud logging read` knows no smaller thing than the project.
resource "google_project_iam_member" "deploy_reads_logs" {
  project = var.project
  role    = "roles/logging.viewer"
  member  = google_service_account.this["deploy"].member
}

# Images.
resource "google_artifact_registry_repository_iam_member" "publish_writes_images" {
  repository = google_artifact_registry_repository.windcast.name
  location   = var.region
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.this["publish"].member
}

# The clock.
resource "google_cloud_run_v2_service_iam_member" "schedule_wakes" {
  name     = google_cloud_run_v2_service.windcast.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.this["schedule"].member
}

resource "google_cloud_run_v2_job_iam_member" "schedule_trains" {
  name     = google_cloud_run_v2_job.train.name
  location = var.region
  role     = "roles/run.invoker"
  member   = google_service_account.this["schedule"].member
}
