# GitHub's workflows act here without a key: GitHub signs what a workflow is, and Google lets in only what matches.
resource "google_iam_workload_identity_pool" "github" {
  workload_identity_pool_id = "github"
  display_name              = "GitHub"
  description               = "Workflows of ${var.github_repository}."

  depends_on = [google_project_service.api]
}

resource "google_iam_workload_identity_pool_provider" "windcast" {
  # checkov:skip=CKV_GCP_125:in `sub` a job's environment stands in the branch's place; its parts are compared
  workload_identity_pool_id          = google_iam_workload_identity_pool.github.workload_identity_pool_id
  workload_identity_pool_provider_id = "windcast"
  display_name                       = "windcast"

  oidc {
    issuer_uri = "https://token.actions.githubusercontent.com"
  }

  attribute_mapping = {
    "google.subject"       = "assertion.sub"
    "attribute.repository" = "assertion.repository"
    "attribute.ref"        = "assertion.ref"
    "attribute.workflow"   = "assertion.workflow_ref.extract('/.github/workflows/{file}@')"
  }

  # A pull request has no branch of ours as its ref; pull_request_target and workflow_run have, so events are named too.
  attribute_condition = join(" && ", [
    "assertion.repository == '${var.github_repository}'",
    "assertion.repository_id == '${var.github_repository_id}'",
    "assertion.ref == 'refs/heads/${var.github_branch}'",
    "assertion.ref_type == 'branch'",
    "assertion.event_name in ['push', 'schedule', 'workflow_dispatch']",
    "assertion.workflow_ref.endsWith('@refs/heads/${var.github_branch}')",
  ])
}

# Each account is for the workflows that need it: the one that pushes images cannot deploy them.
locals {
  pool = "iam.googleapis.com/${google_iam_workload_identity_pool.github.name}"
  federated = merge([
    for account, files in var.github_workflows : {
      for file in files : "${account}/${file}" => { account = account, file = file }
    }
  ]...)
}

resource "google_service_account_iam_member" "github" {
  for_each = local.federated

  service_account_id = google_service_account.this[each.value.account].name
  role               = "roles/iam.workloadIdentityUser"
  member             = "principalSet://${local.pool}/attribute.workflow/${each.value.file}"
}
