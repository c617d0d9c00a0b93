# terraform init -backend-config=bucket=…: the bucket of the state is made by hand (README.md).
terraform {
  required_version = "~> 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # The last version whose schema is published where the checks can read it (checks/schema.py): an exact pin.
      version = "6.50.0"
    }
  }

  backend "gcs" {
    prefix = "windcast"
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # The budget is kept by an API that asks which project a call counts for.
  user_project_override = true
  billing_project       = var.project

  default_labels = {
    app        = "windcast"
    managed_by = "terraform"
  }
}
