# Alerts on what Google measures in front of the service. What only the service knows, such as stale weather or
# coverage, Prometheus watches: monitoring/ at the root of the repository.
resource "google_monitoring_notification_channel" "email" {
  display_name = "windcast"
  type         = "email"
  labels = {
    email_address = var.alert_email
  }

  depends_on = [google_project_service.api]
}

locals {
  of_service = join(" AND ", [
    "resource.type = \"cloud_run_revision\"",
    "resource.labels.service_name = \"${google_cloud_run_v2_service.windcast.name}\"",
  ])
  latencies = "${local.of_service} AND metric.type = \"run.googleapis.com/request_latencies\""
  requests  = "${local.of_service} AND metric.type = \"run.googleapis.com/request_count\""
  job       = google_cloud_run_v2_job.train.name
}

resource "google_monitoring_alert_policy" "slow" {
  display_name          = "windcast is slow"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "one answer in a hundred takes more than 2 s, for ten minutes"
    condition_threshold {
      filter          = local.latencies
      comparison      = "COMPARISON_GT"
      threshold_value = 2000
      duration        = "600s"

      aggregations {
        alignment_period     = "60s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_PERCENTILE_99"
        group_by_fields      = ["resource.label.service_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "WindcastSlow in docs/runbook.md of ${var.github_repository}."
  }
}

resource "google_monitoring_alert_policy" "errors" {
  display_name          = "windcast answers with errors"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "more than 1 % of the answers are 5xx, for five minutes"
    condition_threshold {
      filter             = "${local.requests} AND metric.labels.response_code_class = \"5xx\""
      denominator_filter = local.requests
      comparison         = "COMPARISON_GT"
      threshold_value    = 0.01
      duration           = "300s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }

      denominator_aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_RATE"
        cross_series_reducer = "REDUCE_SUM"
        group_by_fields      = ["resource.label.service_name"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "WindcastErrors in docs/runbook.md of ${var.github_repository}."
  }
}

resource "google_monitoring_alert_policy" "training" {
  display_name          = "windcast training failed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "an execution of the training job failed"
    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"cloud_run_job\"",
        "resource.labels.job_name = \"${local.job}\"",
        "metric.type = \"run.googleapis.com/job/completed_execution_count\"",
        "metric.labels.result = \"failed\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_DELTA"
        cross_series_reducer = "REDUCE_SUM"
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "`gcloud run jobs executions list --job ${local.job} --region ${var.region}`. The champion stays."
  }
}
