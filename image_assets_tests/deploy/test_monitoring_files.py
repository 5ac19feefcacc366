"""The Prometheus rules and the Grafana dashboard ask for numbers that there are, by labels that these have."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from image_assets.pipeline.monitoring.names import HELP
from image_assets.pipeline.monitoring.readings import Reader
from image_assets.pipeline.run import run_dataset
from image_assets_tests.deploy.team import DEPLOY
from image_assets_tests.images import write_images

DASHBOARD = DEPLOY / "grafana/image_assets.json"
ALERTS = DEPLOY / "prometheus/alerts.yml"
# What Prometheus adds to each number that it asks for.
ADDED = {"job", "instance"}


def panels():
    return json.loads(DASHBOARD.read_text())["panels"]


def targets():
    return [target for panel in panels() for target in panel.get("targets", ())]


def rules():
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def expressions():
    return [*(target["expr"] for target in targets()), *(rule["expr"] for rule in rules())]


def test_all_that_is_asked_for_is_told_and_all_that_is_told_is_shown():
    asked = {name for expression in expressions() for name in re.findall(r"image_assets_\w+", expression)}
    assert asked == set(HELP)


def test_labels_that_are_asked_for_are_those_that_the_numbers_have(settings, tmp_path):
    write_images(tmp_path / "raw", 3)
    made = settings(duplicates={"enabled": True})
    run_dataset(made)
    labels = {}
    for sample in Reader(made, with_source=True).read():
        labels.setdefault(sample.name, set()).update(sample.labels)
    for expression in expressions():
        for name, matchers in re.findall(r"(image_assets_\w+)\{(.*?)\}", expression):
            assert set(re.findall(r"(\w+)[=!~]", matchers)) <= labels.get(name, {"dataset"})
        known = set().union(*(labels.get(name, {"dataset"}) for name in re.findall(r"image_assets_\w+", expression)))
        grouped = {
            label.strip() for group in re.findall(r"(?:by|on) \((.*?)\)", expression) for label in group.split(",")
        }
        assert grouped <= known | ADDED
    for target in targets():
        names = re.findall(r"image_assets_\w+", target["expr"])
        known = set().union(*(labels.get(name, {"dataset"}) for name in names))
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known


def test_the_dashboard_is_one_that_grafana_takes():
    content = json.loads(DASHBOARD.read_text())
    assert content["id"] is None
    assert {item["name"]: item["type"] for item in content["templating"]["list"]} == {
        "datasource": "datasource",
        "dataset": "query",
    }
    numbers = [panel["id"] for panel in content["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = set()
    for panel in content["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & places
        places |= cells
        assert panel["type"] == "row" or panel["description"]
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)
    assert all(target["datasource"]["uid"] == "${datasource}" for target in targets())
    # Each number is of the datasets that were chosen.
    for target in targets():
        assert target["expr"].count("image_assets_") == target["expr"].count('dataset=~"$dataset"')


def test_each_alert_says_what_to_do():
    for rule in rules():
        assert rule["for"]
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"].keys() == {"summary", "description"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs Prometheus' promtool")
@pytest.mark.parametrize("check", [["check", "config", str(DEPLOY / "prometheus/prometheus.yml")],
                                   ["test", "rules", str(Path(__file__).with_name("alerts_test.yml"))]])  # fmt: skip
def test_prometheus_takes_the_files_and_alerts_fire_when_they_should(check):
    subprocess.run(["promtool", *check], check=True, capture_output=True)
