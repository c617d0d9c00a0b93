"""What must hold of the files whatever else is in them: who may do what, and what is never there to be read.

A rule is a function that yields a sentence for each place where it is broken.
"""

import re
from collections.abc import Iterator

from infra.checks.configuration import Block, Body, Configuration, literal, strings

BASIC = re.compile(r"^roles/(owner|editor|viewer|browser)$")
EVERYONE = re.compile(r"\b(allUsers|allAuthenticatedUsers)\b")
# What Google offers on nothing smaller, and whether a condition can name the one thing.
OF_PROJECT = {"roles/cloudsql.client": True, "roles/logging.viewer": False}
SECRET = re.compile(r"secret|passw|token|private_key|credential|api_key", re.I)
HOLDS_SECRETS = {
    "google_secret_manager_secret_version",
    "google_service_account_key",
    "google_sql_user",
    "google_storage_hmac_key",
    "random_password",
}
MORE_THAN_ONE_NEEDS = re.compile(r"\.(admin|owner|editor)$|Admin$")
SKIP = re.compile(r"checkov:skip=([^\s:]*):?([^\n]*)")


def no_basic_role(configuration: Configuration) -> Iterator[str]:
    for block, role in _roles(configuration):
        if BASIC.match(role):
            yield f"{block.place}: {role} is a basic role. Name the one that is needed."


def no_role_to_administer(configuration: Configuration) -> Iterator[str]:
    for block, role in _roles(configuration):
        if MORE_THAN_ONE_NEEDS.search(role):
            yield f"{block.place}: {role} lets its holder give access to others. Name the one that is needed."


def roles_are_on_one_thing(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("resource"):
        type_ = block.labels[0]
        if not re.match(r"google_(project|folder|organization)_iam_", type_):
            continue
        roles = set(_texts(block.body.arguments.get("role")))
        if type_ != "google_project_iam_member" or not roles or not roles <= set(OF_PROJECT):
            yield f"{block.place}: gives a role on everything there is. Bind it to the bucket, secret or service."
        elif any(OF_PROJECT[role] for role in roles) and not block.body.inner("condition"):
            yield f"{block.place}: a role on the project wants a condition that names the one resource."


def nobody_replaces_a_policy(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("resource"):
        if re.search(r"_iam_(policy|binding)$", block.labels[0]):
            yield f"{block.place}: takes away what others have granted. Use the _iam_member."


def everyone_only_where_a_variable_says_so(configuration: Configuration) -> Iterator[str]:
    for block in configuration.blocks:
        if not any(EVERYONE.search(text) for text in strings(block.body)):
            continue
        if block.kind == "variable" and "default" not in block.body.arguments:
            continue
        if block.body.arguments.get("count") != "${var.public ? 1 : 0}":
            yield f"{block.place}: lets everyone in. Guard it with count = var.public ? 1 : 0."
    for block in configuration.of("variable"):
        if block.labels[0] == "public" and block.body.arguments.get("default") is not False:
            yield f"{block.place}: must be false unless somebody says otherwise."
    for block in configuration.of("resource", "google_cloud_run_v2_service"):
        if block.body.arguments.get("invoker_iam_disabled") not in (None, False):
            yield f"{block.place}: lets everyone in. Leave invoker_iam_disabled out."


def no_secret_in_the_state(configuration: Configuration) -> Iterator[str]:
    for kind in ("resource", "data"):
        for block in configuration.of(kind):
            if block.labels[0] in HOLDS_SECRETS or block.labels[0].endswith("_secret_version_access"):
                yield f"{block.place}: its secret would stand in the state. Make it by hand (README.md)."
            for name in sorted(_names(block.body)):
                if re.search(r"(^|_)(root_)?password$|secret_data", name):
                    yield f"{block.place}: {name} would stand in the state. Make it by hand (README.md)."


def no_secret_in_an_output_or_a_variable(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("output"):
        if any(SECRET.search(text) for text in strings(block.body.arguments.get("value"))) or SECRET.search(
            block.labels[0]
        ):
            yield f"{block.place}: shows a secret. Leave it in Secret Manager."
    for block in configuration.of("variable"):
        default = block.body.arguments.get("default")
        if SECRET.search(block.labels[0]) or any(
            re.search(r"wc_|://[^/]*:[^/]*@|BEGIN", text) for text in strings(default)
        ):
            yield f"{block.place}: a secret does not come through a variable. Add it by hand (README.md)."


def buckets_are_never_public(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("resource", "google_storage_bucket"):
        arguments = block.body.arguments
        if literal(arguments.get("public_access_prevention")) != "enforced":
            yield f"{block.place}: public_access_prevention must be enforced."
        if arguments.get("uniform_bucket_level_access") is not True:
            yield f"{block.place}: uniform_bucket_level_access must be true."
        if arguments.get("force_destroy", False) is not False:
            yield f"{block.place}: force_destroy would delete what is in it."
        if not any(one.arguments.get("enabled") is True for one in block.body.inner("versioning")):
            yield f"{block.place}: must keep versions."


REQUIRED_OF_A_TOKEN = {
    "the repository": "assertion.repository == '${var.github_repository}'",
    "the repository's number": "assertion.repository_id == '${var.github_repository_id}'",
    "the branch": "assertion.ref == 'refs/heads/${var.github_branch}'",
    "the events": "assertion.event_name in [",
}


def federation_is_for_one_repository_and_branch(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("resource", "google_iam_workload_identity_pool_provider"):
        condition = block.body.arguments.get("attribute_condition", "")
        for what, needed in REQUIRED_OF_A_TOKEN.items():
            if needed not in condition:
                yield f"{block.place}: its condition does not name {what}."
        if "||" in condition or not condition.startswith('${join(" && ", ['):
            yield f'{block.place}: its conditions must all hold: join(" && ", […]).'
        if re.search(r"'(pull_request\w*|workflow_run|issue\w*)'", condition):
            yield f"{block.place}: lets in what somebody outside can start."


def federated_accounts_are_for_named_workflows(configuration: Configuration) -> Iterator[str]:
    for block, role in _roles(configuration):
        members = _texts(block.body.arguments.get("member"))
        federated = role == "roles/iam.workloadIdentityUser"
        if federated and not all("/attribute.workflow/${each.value.file}" in one for one in members):
            yield f"{block.place}: any workflow could act as this account. Name one by attribute.workflow."
        if not federated and any("principalSet" in one for one in members):
            yield f"{block.place}: GitHub's workflows act through an account, not by themselves."


def only_deployment_acts_as_another(configuration: Configuration) -> Iterator[str]:
    allowed = ('${google_service_account.this["serve"].name}', '${google_service_account.this["deploy"].member}')
    for block, role in _roles(configuration):
        if role not in ("roles/iam.serviceAccountUser", "roles/iam.serviceAccountTokenCreator"):
            continue
        arguments = block.body.arguments
        asked = (arguments.get("service_account_id"), arguments.get("member"))
        if block.labels[0] != "google_service_account_iam_member" or asked != allowed or "Token" in role:
            yield f"{block.place}: only the deployment may act as another account, and only as the service's."


def the_database_is_not_on_the_internet(configuration: Configuration) -> Iterator[str]:
    for block in configuration.of("resource", "google_sql_database_instance"):
        (address,) = block.body.inner("settings", "ip_configuration") or [Body(arguments={})]
        if address.arguments.get("ipv4_enabled") is not False or address.inner("authorized_networks"):
            yield f"{block.place}: must have no address on the internet."
        if literal(address.arguments.get("ssl_mode")) != "TRUSTED_CLIENT_CERTIFICATE_REQUIRED":
            yield f"{block.place}: must take encrypted connections of known clients alone."
        if not any(
            one.arguments.get("enabled") is True for one in block.body.inner("settings", "backup_configuration")
        ):
            yield f"{block.place}: must be backed up."
        if block.body.arguments.get("deletion_protection") != "${var.deletion_protection}":
            yield f"{block.place}: must be protected from deletion."


def what_runs_has_an_account_of_its_own(configuration: Configuration) -> Iterator[str]:
    for kind, path in (("service", ("template",)), ("job", ("template", "template"))):
        for block in configuration.of("resource", f"google_cloud_run_v2_{kind}"):
            for body in block.body.inner(*path):
                if "google_service_account.this[" not in str(body.arguments.get("service_account")):
                    yield f"{block.place}: would run as the project's default account, which may do nearly all."


def every_skip_has_a_reason(configuration: Configuration) -> Iterator[str]:
    for file, text in configuration.texts.items():
        for check, reason in SKIP.findall(text):
            if len(reason.split()) < 4:
                yield f"{file}: {check} is skipped without a reason."


RULES = (
    no_basic_role,
    no_role_to_administer,
    roles_are_on_one_thing,
    nobody_replaces_a_policy,
    everyone_only_where_a_variable_says_so,
    no_secret_in_the_state,
    no_secret_in_an_output_or_a_variable,
    buckets_are_never_public,
    federation_is_for_one_repository_and_branch,
    federated_accounts_are_for_named_workflows,
    only_deployment_acts_as_another,
    the_database_is_not_on_the_internet,
    what_runs_has_an_account_of_its_own,
    every_skip_has_a_reason,
)


def check(configuration: Configuration) -> list[str]:
    return [sentence for rule in RULES for sentence in rule(configuration)]


def _roles(configuration: Configuration) -> Iterator[tuple[Block, str]]:
    for block in configuration.of("resource"):
        if "_iam_" in block.labels[0]:
            role = block.body.arguments.get("role")
            given = [block.body.arguments.get("for_each")] if role == "${each.value}" else [role]
            for text in strings(given):
                for found in re.findall(r"roles/[\w.]+", text):
                    yield block, found


def _texts(value: object) -> list[str]:
    return [literal(text) or text for text in strings(value)]


def _names(body: Body) -> set[str]:
    return set(body.arguments).union(*(_names(inner) for _, inner in body.blocks))
