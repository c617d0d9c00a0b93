# The variables of the GitHub repository, under their names in small letters. None is a secret.
output "gcp_project" {
  description = "GitHub variable GCP_PROJECT."
  value       = var.project
}

output "gcp_region" {
  description = "GitHub variable GCP_REGION."
  value       = var.region
}

output "gcp_workload_identity_provider" {
  description = "GitHub variable GCP_WORKLOAD_IDENTITY_PROVIDER."
  value       = google_iam_workload_identity_pool_provider.windcast.name
}

output "gcp_deploy_account" {
  description = "GitHub variable GCP_DEPLOY_ACCOUNT."
  value       = google_service_account.this["deploy"].email
}

output "gcp_publish_account" {
  description = "GitHub variable GCP_PUBLISH_ACCOUNT."
  value       = google_service_account.this["publish"].email
}

output "gcp_train_account" {
  description = "GitHub variable GCP_TRAIN_ACCOUNT."
  value       = google_service_account.this["train"].email
}

output "windcast_farm" {
  description = "GitHub variable WINDCAST_FARM: the first of the farms."
  value       = var.farms[0]
}

# Where things are.
output "service_address" {
  description = "Address of the service."
  value       = google_cloud_run_v2_service.windcast.uri
}

output "image_repository" {
  description = "Where images are pushed to."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${local.repository}"
}

output "data_bucket" {
  description = "DVC's remote."
  value       = "gs://${google_storage_bucket.this["data"].name}"
}

output "models_bucket" {
  description = "Holds the registry, below registry/."
  value       = "gs://${google_storage_bucket.this["models"].name}"
}

output "database_connection" {
  description = "Name of the database for Cloud SQL's connector, as the store's address has it."
  value       = google_sql_database_instance.store.connection_name
}
