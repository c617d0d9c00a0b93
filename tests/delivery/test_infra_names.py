"""The Terraform files name only what the provider has, and a mistake in them is found."""

from pathlib import Path

import pytest

pytest.importorskip("hcl2", reason="python-hcl2 is not installed: pip install 'windcast[infra]'")

from infra.checks import names, provider, references
from infra.checks.configuration import read
from infra_copies import INFRA, changed

SCHEMA = provider.load()


def test_every_name_in_the_files_is_one_of_the_provider_s() -> None:
    assert names.check(read(INFRA), SCHEMA) == []


def test_everything_named_is_declared_and_everything_declared_is_used() -> None:
    assert references.check(read(INFRA), SCHEMA) == []


def test_the_names_are_checked_for_the_version_that_is_asked_for() -> None:
    assert f'version = "{SCHEMA.version}"' in (INFRA / "versions.tf").read_text()


def test_the_stored_names_are_of_the_types_in_use_and_no_others() -> None:
    assert set(SCHEMA.types) == provider.used(read(INFRA))


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        (
            "storage.tf",
            "public_access_prevention ",
            "public_acess_prevention ",
            "did you mean public_access_prevention?",
        ),
        ("service.tf", "timeout_seconds", "timeout_second", "did you mean timeout_seconds?"),
        ("service.tf", "startup_probe {", "startup_probes {", "no block startup_probes; did you mean startup_probe?"),
        ("training.tf", "max_retries ", "max_retry ", "did you mean max_retries?"),
        ("versions.tf", "billing_project ", "billing_projekt ", "no argument billing_projekt"),
        ("apis.tf", "project_id = var.project", "project_key = var.project", "no argument project_key"),
        ("registry.tf", '"google_artifact_registry_repository"', '"google_artifact_repository"', "is not in provider"),
        ("budget.tf", "threshold_percent = 1.0", "", "threshold_percent is missing"),
        ("budget.tf", "billing_account = var.billing_account", "", "billing_account is missing"),
        ("budget.tf", 'dynamic "threshold_rules"', 'dynamic "threshold_rule"', "no block threshold_rule;"),
        ("monitoring.tf", "comparison      =", "compares        =", "comparison is missing"),
        ("storage.tf", "  versioning {", "  versioning {\n enabled = true\n}\n  versioning {", "may stand once"),
        ("storage.tf", "versioning {\n    enabled = true\n  }", "versioning = true", "is a block, not an argument"),
        ("storage.tf", "force_destroy               = false", "force_destroy {}", "is an argument, not a block"),
        ("service.tf", "failure_threshold = 60", 'failure_threshold = "often"', "failure_threshold wants number"),
        ("schedule.tf", '"Etc/UTC"', '["Etc/UTC"]', "time_zone wants string"),
        ("versions.tf", '"6.50.0"', '"6.51.0"', "asks for hashicorp/google 6.51.0"),
    ],
)
def test_what_the_provider_would_not_take_is_named(
    tmp_path: Path, file: str, before: str, after: str, told: str
) -> None:
    found = names.check(changed(tmp_path, file, before, after), SCHEMA)
    assert any(told in sentence and sentence.startswith(file) for sentence in found), found


@pytest.mark.parametrize(
    ("file", "before", "after", "told"),
    [
        ("service.tf", "var.ingress", "var.ingres", "var.ingres is not declared"),
        ("training.tf", "google_service_account.this", "google_service_account.those", ".those is not declared"),
        (
            "outputs.tf",
            "google_cloud_run_v2_service.windcast.uri",
            "google_cloud_run_v2_service.windcast.url",
            "no url",
        ),
        ("budget.tf", "data.google_project.this.number", "data.google_project.that.number", "that is not declared"),
        ("sizes.tf", "", 'variable "spare" {\n  type = string\n}', "var.spare is declared and never used"),
        ("uptime.tf", "local.monitoring_agent", "local.monitor", "local.monitor is not declared"),
    ],
)
def test_what_is_not_there_to_be_named_is_told(tmp_path: Path, file: str, before: str, after: str, told: str) -> None:
    found = references.check(changed(tmp_path, file, before, after), SCHEMA)
    assert any(told in sentence for sentence in found), found


def test_a_file_that_is_not_hcl_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"storage\.tf: not HCL"):
        changed(tmp_path, "storage.tf", "locals {", "locals {{")


DEFINITIONS = """
export interface GadgetConfig extends cdktf.TerraformMetaArguments {
    /**
    * Docs at Terraform Registry: {@link https://registry/docs/resources/gadget#ipv4_enabled Gadget#ipv4_enabled}
    */
    readonly ipv4Enabled: boolean | cdktf.IResolvable;
    /**
    * Docs at Terraform Registry: {@link https://registry/docs/resources/gadget#labels Gadget#labels}
    */
    readonly labels?: {
        [key: string]: string;
    };
    /**
    * rule block
    *
    * Docs at Terraform Registry: {@link https://registry/docs/resources/gadget#rule Gadget#rule}
    */
    readonly rule?: GadgetRule[] | cdktf.IResolvable;
}
export interface GadgetRule {
    /**
    * Docs at Terraform Registry: {@link https://registry/docs/resources/gadget#age Gadget#age}
    */
    readonly age: number;
}
export declare class Gadget extends cdktf.TerraformResource {
    static readonly tfResourceType = "google_gadget";
    get selfLink(): string;
}
"""


def test_the_typed_definitions_are_read_as_arguments_blocks_and_attributes() -> None:
    gadget = provider.parse(DEFINITIONS)
    assert gadget.arguments == {"ipv4_enabled": "boolean", "labels": "{ [key: string]: string; }"}
    assert gadget.required == ("ipv4_enabled",)
    assert gadget.blocks["rule"].many
    assert gadget.blocks["rule"].required == ("age",)
    assert gadget.attributes == ("selflink",)
