# The database has no address on the internet: it is reached from this network, which nothing else is in.
resource "google_compute_network" "windcast" {
  name                    = "windcast"
  auto_create_subnetworks = false

  depends_on = [google_project_service.api]
}

# Nothing calls into it: Cloud Run's requests do not come through the network.
resource "google_compute_firewall" "nothing_in" {
  name      = "windcast-nothing-in"
  network   = google_compute_network.windcast.id
  direction = "INGRESS"
  priority  = 65534

  source_ranges = ["0.0.0.0/0"]

  deny {
    protocol = "all"
  }

  log_config {
    metadata = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_subnetwork" "service" {
  # checkov:skip=CKV_GCP_76:no IPv6 in this network
  name                     = "windcast-service"
  network                  = google_compute_network.windcast.id
  region                   = var.region
  ip_cidr_range            = "10.20.0.0/24"
  private_ip_google_access = true

  log_config {
    aggregation_interval = "INTERVAL_10_MIN"
    flow_sampling        = 0.1
    metadata             = "EXCLUDE_ALL_METADATA"
  }
}

resource "google_compute_global_address" "database" {
  name          = "windcast-database"
  network       = google_compute_network.windcast.id
  purpose       = "VPC_PEERING"
  address_type  = "INTERNAL"
  prefix_length = 20
}

resource "google_service_networking_connection" "database" {
  network                 = google_compute_network.windcast.id
  service                 = "servicenetworking.googleapis.com"
  reserved_peering_ranges = [google_compute_global_address.database.name]
  # Google gives it up only days after the database is gone; without this a teardown stops here.
  deletion_policy = "ABANDON"
}
