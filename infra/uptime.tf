# Asked from outside, as an identity of Google Monitoring's, so that the service need not be public.
locals {
  monitoring_agent = "service-${data.google_project.this.number}@gcp-sa-monitoring-notification.iam.gserviceaccount.com"
}

resource "google_cloud_run_v2_service_iam_member" "uptime" {
  count = var.uptime_check ? 1 : 0

  name     = google_cloud_run_v2_service.windcast.name
  location = var.region
  role     = "roles/run.invoker"
  member   = "serviceAccount:${local.monitoring_agent}"
}

resource "google_monitoring_uptime_check_config" "health" {
  count = var.uptime_check ? 1 : 0

  display_name     = "windcast /health"
  period           = "300s"
  timeout          = "10s"
  selected_regions = ["EUROPE", "USA_VIRGINIA", "ASIA_PACIFIC"]

  monitored_resource {
    type = "uptime_url"
    labels = {
      project_id = var.project
      host       = trimprefix(google_cloud_run_v2_service.windcast.uri, "https://")
    }
  }

  http_check {
    path         = "/health"
    port         = 443
    use_ssl      = true
    validate_ssl = true

    service_agent_authentication {
      type = "OIDC_TOKEN"
    }
  }

  content_matchers {
    content = "\"status\":\"ok\""
    matcher = "CONTAINS_STRING"
  }
}

resource "google_monitoring_alert_policy" "down" {
  count = var.uptime_check ? 1 : 0

  display_name          = "windcast is down"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = [google_monitoring_notification_channel.email.id]

  conditions {
    display_name = "two continents got no answer"
    condition_threshold {
      filter = join(" AND ", [
        "resource.type = \"uptime_url\"",
        "metric.type = \"monitoring.googleapis.com/uptime_check/check_passed\"",
        "metric.labels.check_id = \"${google_monitoring_uptime_check_config.health[0].uptime_check_id}\"",
      ])
      comparison      = "COMPARISON_GT"
      threshold_value = 1
      duration        = "300s"

      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_NEXT_OLDER"
        cross_series_reducer = "REDUCE_COUNT_FALSE"
        group_by_fields      = ["resource.label.host"]
      }
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "WindcastDown in docs/runbook.md of ${var.github_repository}."
  }
}
