# The store. Its user is made by hand (README.md): a password in Terraform would stand in its state.
resource "google_sql_database_instance" "store" {
  name                = "windcast"
  region              = var.region
  database_version    = "POSTGRES_16"
  deletion_protection = var.deletion_protection

  settings {
    tier              = var.database_tier
    edition           = "ENTERPRISE"
    availability_type = var.database_availability
    disk_type         = "PD_SSD"
    disk_size         = var.database_disk_gb
    disk_autoresize   = true

    # Only through Cloud SQL's connector: who has no role here is refused before a password is asked for.
    connector_enforcement       = "REQUIRED"
    deletion_protection_enabled = var.deletion_protection

    ip_configuration {
      ipv4_enabled    = false
      private_network = google_compute_network.windcast.id
      ssl_mode        = "ENCRYPTED_ONLY"
    }

    backup_configuration {
      enabled                        = true
      start_time                     = "01:00"
      location                       = var.region
      point_in_time_recovery_enabled = true
      transaction_log_retention_days = 7

      backup_retention_settings {
        retained_backups = 14
      }
    }

    maintenance_window {
      day          = 7
      hour         = 3
      update_track = "stable"
    }

    insights_config {
      query_insights_enabled = true
    }

    dynamic "database_flags" {
      for_each = local.database_flags
      content {
        name  = database_flags.key
        value = database_flags.value
      }
    }
  }

  depends_on = [google_service_networking_connection.database]

  # The disk grows by itself.
  lifecycle {
    ignore_changes = [settings[0].disk_size]
  }
}

locals {
  database_flags = {
    "cloudsql.enable_pgaudit"    = "on"
    "log_checkpoints"            = "on"
    "log_connections"            = "on"
    "log_disconnections"         = "on"
    "log_duration"               = "off"
    "log_hostname"               = "on"
    "log_lock_waits"             = "on"
    "log_min_duration_statement" = "-1"
    "log_min_error_statement"    = "error"
    "log_min_messages"           = "warning"
    "log_statement"              = "ddl"
    "pgaudit.log"                = "ddl,role"
  }
}

resource "google_sql_database" "windcast" {
  name     = "windcast"
  instance = google_sql_database_instance.store.name
}
