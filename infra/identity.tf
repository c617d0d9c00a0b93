# Who acts. None of them has a key: the first two run on Google's machines, GitHub's come by federation.
locals {
  accounts = {
    serve    = "Runs the service."
    train    = "Runs the training job, and starts it from GitHub."
    deploy   = "GitHub's deployments: a new revision of the service, and its traffic."
    publish  = "GitHub's image pushes."
    schedule = "Cloud Scheduler: wakes the service, starts the training job."
  }
}

resource "google_service_account" "this" {
  for_each = local.accounts

  account_id   = "windcast-${each.key}"
  display_name = "windcast ${each.key}"
  description  = each.value

  depends_on = [google_project_service.api]
}
