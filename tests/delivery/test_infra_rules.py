"""Who may do what in the cloud, and what is never there to be read: each rule holds, and is seen to fire."""

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("hcl2", reason="python-hcl2 is not installed: pip install 'windcast[infra]'")

from infra.checks import rules
from infra.checks.configuration import read
from infra_copies import INFRA, changed

PROJECT_ROLE = """resource "google_project_iam_member" "train_stores" {
  project = var.project
  role    = "roles/storage.objectUser"
  member  = google_service_account.this["train"].member
}"""
EVERYONE = """resource "google_storage_bucket_iam_member" "all" {
  bucket = google_storage_bucket.this["models"].name
  role   = "roles/storage.objectViewer"
  member = "allAuthenticatedUsers"
}"""
KEY = 'resource "google_service_account_key" "deploy" {\n  service_account_id = "windcast-deploy"\n}'
VERSION = 'resource "google_secret_manager_secret_version" "keys" {\n  secret      = "keys"\n  secret_data = "x"\n}'
USER = 'resource "google_sql_user" "windcast" {\n  name     = "windcast"\n  password = "x"\n}'
READ = 'data "google_secret_manager_secret_version_access" "keys" {\n  secret = "windcast-keys"\n}'
POLICY = 'resource "google_project_iam_policy" "all" {\n  project     = var.project\n  policy_data = "{}"\n}'
TOKENS = """resource "google_service_account_iam_member" "tokens" {
  service_account_id = google_service_account.this["train"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_service_account.this["schedule"].member
}"""
POOL = "${local.pool}/attribute.workflow/${each.value.file}"

BROKEN = [
    (rules.no_basic_role, "access.tf", "roles/storage.objectUser", "roles/editor"),
    (rules.no_basic_role, "access.tf", "roles/run.developer", "roles/owner"),
    (rules.no_role_to_administer, "access.tf", "roles/storage.objectUser", "roles/storage.admin"),
    (rules.no_role_to_administer, "access.tf", "roles/run.viewer", "roles/run.admin"),
    (rules.roles_are_on_one_thing, "access.tf", "", PROJECT_ROLE),
    (rules.roles_are_on_one_thing, "access.tf", "  condition {", "  conditions {"),
    (rules.roles_are_on_one_thing, "access.tf", "roles/cloudsql.client", "roles/cloudsql.instanceUser"),
    (rules.nobody_replaces_a_policy, "access.tf", "", POLICY),
    (
        rules.nobody_replaces_a_policy,
        "access.tf",
        "google_storage_bucket_iam_member",
        "google_storage_bucket_iam_binding",
    ),
    (rules.everyone_only_where_a_variable_says_so, "service.tf", "count = var.public ? 1 : 0", "count = 1"),
    (rules.everyone_only_where_a_variable_says_so, "access.tf", "", EVERYONE),
    (rules.everyone_only_where_a_variable_says_so, "variables.tf", "default     = false", "default     = true"),
    (
        rules.everyone_only_where_a_variable_says_so,
        "service.tf",
        "ingress  ",
        "invoker_iam_disabled = true\n  ingress  ",
    ),
    (rules.no_secret_in_the_state, "identity.tf", "", KEY),
    (rules.no_secret_in_the_state, "secrets.tf", "", VERSION),
    (rules.no_secret_in_the_state, "secrets.tf", "", READ),
    (rules.no_secret_in_the_state, "database.tf", "", USER),
    (rules.no_secret_in_the_state, "database.tf", "  region  ", '  root_password = "x"\n  region  '),
    (rules.no_secret_in_an_output_or_a_variable, "outputs.tf", "", 'output "key" {\n  value = var.private_key\n}'),
    (rules.no_secret_in_an_output_or_a_variable, "outputs.tf", "", 'output "store_password" {\n  value = "x"\n}'),
    (rules.no_secret_in_an_output_or_a_variable, "variables.tf", "", 'variable "api_token" {\n  type = string\n}'),
    (
        rules.no_secret_in_an_output_or_a_variable,
        "variables.tf",
        "",
        'variable "store" {\n  default = "postgresql://windcast:hill@db/windcast"\n}',
    ),
    (rules.buckets_are_never_public, "storage.tf", '"enforced"', '"inherited"'),
    (rules.buckets_are_never_public, "storage.tf", 'public_access_prevention    = "enforced"', ""),
    (rules.buckets_are_never_public, "storage.tf", "uniform_bucket_level_access = true", ""),
    (rules.buckets_are_never_public, "storage.tf", "    enabled = true", "    enabled = false"),
    (rules.buckets_are_never_public, "storage.tf", "force_destroy               = false", "force_destroy = true"),
    (rules.federation_is_for_one_repository_and_branch, "federation.tf", "assertion.repository ==", "assertion.sub !="),
    (rules.federation_is_for_one_repository_and_branch, "federation.tf", "assertion.repository_id ==", "'' !="),
    (
        rules.federation_is_for_one_repository_and_branch,
        "federation.tf",
        "refs/heads/${var.github_branch}'\",",
        "x'\",",
    ),
    (rules.federation_is_for_one_repository_and_branch, "federation.tf", '" && "', '" || "'),
    (rules.federation_is_for_one_repository_and_branch, "federation.tf", "['push'", "['pull_request_target', 'push'"),
    (rules.federation_is_for_one_repository_and_branch, "federation.tf", "attribute_condition", "condition"),
    (rules.federated_accounts_are_for_named_workflows, "federation.tf", POOL, "${local.pool}/*"),
    (rules.federated_accounts_are_for_named_workflows, "federation.tf", "roles/iam.workloadIdentityUser", "roles/x.y"),
    (rules.only_deployment_acts_as_another, "access.tf", "", TOKENS),
    (
        rules.only_deployment_acts_as_another,
        "access.tf",
        'google_service_account.this["serve"].name',
        'google_service_account.this["train"].name',
    ),
    (rules.the_database_is_not_on_the_internet, "database.tf", "ipv4_enabled    = false", "ipv4_enabled = true"),
    (rules.the_database_is_not_on_the_internet, "database.tf", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED", "ENCRYPTED_ONLY"),
    (rules.the_database_is_not_on_the_internet, "database.tf", "enabled                        = true", ""),
    (rules.the_database_is_not_on_the_internet, "database.tf", "= var.deletion_protection", "= false"),
    (rules.what_runs_has_an_account_of_its_own, "service.tf", "service_account  ", "session_affinity  "),
    (rules.what_runs_has_an_account_of_its_own, "training.tf", "service_account  ", "encryption_key  "),
    (rules.every_skip_has_a_reason, "storage.tf", "", "# checkov:skip=CKV_GCP_29"),
    (rules.every_skip_has_a_reason, "storage.tf", "", "# checkov:skip=CKV_GCP_29:no"),
]


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_rule_holds(rule: Callable[..., object]) -> None:
    assert list(rule(read(INFRA))) == []


@pytest.mark.parametrize(
    ("rule", "file", "before", "after"), BROKEN, ids=[f"{rule.__name__}-{n}" for n, (rule, *_) in enumerate(BROKEN)]
)
def test_a_rule_fires_where_it_is_broken(
    tmp_path: Path, rule: Callable[..., object], file: str, before: str, after: str
) -> None:
    assert list(rule(changed(tmp_path, file, before, after)))


def test_every_rule_is_seen_to_fire() -> None:
    assert {rule for rule, *_ in BROKEN} == set(rules.RULES)
