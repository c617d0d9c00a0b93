"""The Terraform files and their README agree with the service, the workflows, the plan of cost and each other."""

import asyncio
import inspect
import re
import shutil
import subprocess

import pytest

pytest.importorskip("hcl2", reason="python-hcl2 is not installed: pip install 'windcast[infra]'")

import hcl2
from infra import costs
from infra.checks.configuration import Body, literal, read
from infra_copies import INFRA, ROOT

FILES = read(INFRA)
README = (INFRA / "README.md").read_text()
GITHUB = (
    "GCP_PROJECT",
    "GCP_REGION",
    "GCP_WORKLOAD_IDENTITY_PROVIDER",
    "GCP_DEPLOY_ACCOUNT",
    "GCP_PUBLISH_ACCOUNT",
    "GCP_TRAIN_ACCOUNT",
    "WINDCAST_FARM",
)


def container() -> Body:
    (one,) = FILES.resource("google_cloud_run_v2_service", "windcast").body.inner("template", "containers")
    return one


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_the_files_have_terraform_s_form() -> None:
    done = subprocess.run(["terraform", "fmt", "-check", "-diff", str(INFRA)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_readme_s_cost_is_what_the_plan_computes() -> None:
    assert f"<!-- costs -->\n{costs.table()}\n<!-- /costs -->" in README, "put in what `python -m infra.costs` prints"
    assert f"<!-- prices -->\n{costs.prices()}\n<!-- /prices -->" in README
    assert costs.DATE in README


def test_every_part_of_the_cost_is_the_sum_of_its_prices() -> None:
    rest = costs.month(next(plan for plan in costs.PLANS if plan.name == "at rest"), costs.Farm())
    assert rest["service"] == pytest.approx(730 * 3600 * (0.000018 + 0.000002))
    assert rest["database"] == pytest.approx(730 * 0.035 + 10 * 0.17)
    assert rest["training"] == rest["internet"] == rest["buckets"] == 0
    ten = costs.month(next(plan for plan in costs.PLANS if plan.farms == 10), costs.Farm())
    assert ten["training"] == pytest.approx(10 * 52 / 12 * 0.25 * (0.67 + 3600 * (4 * 0.000018 + 16 * 0.000002)))


@pytest.mark.parametrize("plan", costs.PLANS, ids=lambda plan: plan.name)
def test_the_champions_of_a_plan_find_room_in_its_memory(plan: costs.Plan) -> None:
    assert plan.services == 0 or costs.fits(plan, costs.Farm())
    assert not costs.fits(costs.Plan("too small", 100, 1, 1, 1, None), costs.Farm())


def test_the_plan_at_rest_has_the_sizes_that_are_the_default() -> None:
    sizes = {block.labels[0]: block.body.arguments.get("default") for block in FILES.of("variable")}
    rest = next(plan for plan in costs.PLANS if plan.name == "at rest")
    assert (rest.services, f"{rest.vcpus}", f"{rest.memory_gib}Gi") == (
        sizes["min_instances"],
        literal(sizes["cpu"]),
        literal(sizes["memory"]),
    )
    assert literal(sizes["database_tier"]) == "db-g1-small"


def test_each_variable_that_the_workflows_read_is_an_output_of_that_name() -> None:
    outputs = {block.labels[0]: block.body.arguments for block in FILES.of("output")}
    for name in GITHUB:
        assert name in outputs[name.lower()]["description"]
        assert name in README


def test_the_workflows_that_may_act_as_an_account_are_there() -> None:
    workflows = ROOT / ".github" / "workflows"
    if not workflows.is_dir():
        pytest.skip("there are no workflows")
    (variable,) = (block for block in FILES.of("variable") if block.labels[0] == "github_workflows")
    for account, files in variable.body.arguments["default"].items():
        for file in files:
            assert (workflows / str(literal(file))).is_file(), f"{account}: {file} of github_workflows is not there"


def test_the_example_gives_every_variable_that_must_be_given_and_no_other() -> None:
    given = set(hcl2.loads((INFRA / "terraform.tfvars.example").read_text())) - {"__comments__"}
    variables = {block.labels[0]: block.body.arguments for block in FILES.of("variable")}
    needed = {name for name, arguments in variables.items() if "default" not in arguments}
    assert needed <= given <= set(variables)


def test_every_variable_and_output_says_what_it_is() -> None:
    for block in (*FILES.of("variable"), *FILES.of("output")):
        assert literal(block.body.arguments.get("description")), block.place


def test_the_places_that_the_readme_makes_first_are_there() -> None:
    targets = re.findall(r"-target=([\w.]+)", README)
    assert len(targets) > 3
    for target in targets:
        FILES.resource(*target.split("."))


def test_the_service_is_started_with_options_that_it_has() -> None:
    from windcast.cli import forecasting

    options = set(re.findall(r'"--(\w+)"', container().arguments["args"]))
    assert options >= {"host", "keys", "registry", "champion"}
    known = set(inspect.signature(forecasting.serve).parameters)
    assert options <= {{"champions": "champion"}.get(name, name) for name in known}


def test_the_service_is_asked_where_it_answers() -> None:
    from windcast.serving.routes import outside

    paths = {getattr(route, "path", "") for route in outside.router.routes}
    asked = [
        *container().inner("startup_probe", "http_get"),
        *container().inner("liveness_probe", "http_get"),
        *FILES.resource("google_monitoring_uptime_check_config", "health").body.inner("http_check"),
    ]
    assert [literal(one.arguments["path"]) for one in asked] == ["/ready", "/health", "/health"]
    assert {literal(one.arguments["path"]) for one in asked} <= paths


def test_the_check_from_outside_looks_for_what_the_service_says() -> None:
    from windcast.serving.routes import outside

    check = FILES.resource("google_monitoring_uptime_check_config", "health")
    (matcher,) = check.body.inner("content_matchers")
    content = str(literal(matcher.arguments["content"])).replace('\\"', '"')
    assert content in bytes(asyncio.run(outside.health()).body).decode()


def test_the_store_s_address_in_the_readme_is_one_that_the_store_takes() -> None:
    from windcast.serving.store.engine import connect

    (template,) = re.findall(r"printf '(postgresql://[^']+)'", README)
    engine = connect(template.replace("%s", "abc"))
    assert engine.url.query["host"] == "/cloudsql/PROJECT:REGION:windcast"
    assert (engine.url.username, engine.url.database, engine.url.host) == ("windcast", "windcast", None)
    mounts = {literal(one.arguments["mount_path"]) for one in container().inner("volume_mounts")}
    assert mounts == {"/models", "/keys", "/cloudsql"}


def test_the_connections_of_an_instance_are_those_that_the_sizes_reckon_with() -> None:
    from windcast.serving.store.engine import POOL

    assert f"up to {POOL['pool_size'] + POOL['max_overflow']} connections" in FILES.texts["sizes.tf"]


def test_the_deployment_owns_image_and_traffic_and_terraform_does_not() -> None:
    service = FILES.resource("google_cloud_run_v2_service", "windcast")
    (lifecycle,) = service.body.inner("lifecycle")
    ignored = set(map(str, lifecycle.arguments["ignore_changes"]))
    assert ignored == {
        "client",
        "client_version",
        "${template[0].containers[0].args}",
        "${template[0].containers[0].image}",
        "${template[0].revision}",
        "traffic",
    }


def test_the_training_job_has_a_gpu_and_an_end() -> None:
    (task,) = FILES.resource("google_cloud_run_v2_job", "train").body.inner("template", "template")
    (selector,) = task.inner("node_selector")
    (resources,) = task.inner("containers", "resources")
    assert literal(selector.arguments["accelerator"]) == "nvidia-l4"
    assert resources.arguments["limits"]['"nvidia.com/gpu"'] == '"1"'
    assert task.arguments["gpu_zonal_redundancy_disabled"] is True
    assert task.arguments["max_retries"] == 0
    assert task.arguments["timeout"] == '"${var.train_timeout_s}s"'


def test_an_alert_points_to_its_section_of_the_runbook() -> None:
    runbook = ROOT / "docs" / "runbook.md"
    if not runbook.is_file():
        pytest.skip("there is no runbook")
    texts = "".join(FILES.texts.values())
    named = set(re.findall(r"(Windcast\w+) in docs/runbook\.md", texts))
    assert named == {"WindcastDown", "WindcastSlow", "WindcastErrors"}
    assert all(re.search(rf"^#+ {name}$", runbook.read_text(), re.M) for name in named)
