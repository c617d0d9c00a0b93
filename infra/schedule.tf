# The clock.

# A farm with issue_every_minutes issues by the service's own clock, as soon as an instance is awake. So the schedule
# does not ask for a forecast: that would want an API key, which would stand in the schedule for all to read. It wakes
# an instance and asks whether its bundles and its store are there; if not, it asks again.
resource "google_cloud_scheduler_job" "forecast" {
  name             = "windcast-forecast"
  region           = var.region
  description      = "Wakes the service, which issues what is due."
  schedule         = var.forecast_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  retry_config {
    retry_count          = 3
    min_backoff_duration = "5s"
    max_backoff_duration = "60s"
  }

  http_target {
    http_method = "GET"
    uri         = "${google_cloud_run_v2_service.windcast.uri}/ready"

    oidc_token {
      service_account_email = google_service_account.this["schedule"].email
      audience              = google_cloud_run_v2_service.windcast.uri
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.schedule_wakes]
}

resource "google_cloud_scheduler_job" "train" {
  name             = "windcast-train"
  region           = var.region
  description      = "Starts the training job."
  schedule         = var.train_schedule
  time_zone        = "Etc/UTC"
  attempt_deadline = "60s"

  # A start whose answer got lost would be a second run: the next schedule is soon enough.
  retry_config {
    retry_count = 0
  }

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.train.id}:run"

    oauth_token {
      service_account_email = google_service_account.this["schedule"].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [google_cloud_run_v2_job_iam_member.schedule_trains]
}
