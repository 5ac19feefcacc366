"""Every engine keeps one contract; what is said of local workers alone is how they die."""

import psutil
import pytest

from image_assets.core.errors import StoreError
from image_assets.engines import ENGINES
from image_assets.engines.base import Done, Lost
from image_assets.engines.local import LocalEngine
from image_assets_tests.engines import work
from image_assets_tests.engines.contract import OF_ALL, OF_PROCESSES
from image_assets_tests.images import make_settings_for


def sentence(clause):
    return clause.__name__


@pytest.mark.parametrize("clause", OF_ALL, ids=sentence)
@pytest.mark.parametrize("name", ["inline", "local"])
def test_engines_of_this_machine(tmp_path, name, clause):
    with ENGINES[name](make_settings_for(tmp_path, workers=2 * (name == "local"))) as engine:
        clause(engine)


@pytest.mark.parametrize("clause", OF_PROCESSES, ids=sentence)
def test_local_processes(tmp_path, clause):
    with ENGINES["local"](make_settings_for(tmp_path, workers=2)) as engine:
        clause(engine)


@pytest.mark.parametrize("name", sorted(set(ENGINES) - {"inline", "local"}))
def test_clusters(tmp_path, request, subtests, name):
    """With the real clusters of the other tests: connecting to one takes long, so it is done once."""
    address = request.getfixturevalue(f"{name}_cluster").address
    settings = make_settings_for(tmp_path, workers=2, engine={"kind": name, "address": address})
    with ENGINES[name](settings) as engine:
        assert (engine.name, engine.far) == (name, True)
        for clause in (*OF_ALL, *OF_PROCESSES):
            with subtests.test(clause.__name__):
                clause(engine)


def test_a_hanging_worker_is_stopped_and_names_the_item():
    with LocalEngine(2, 0.5) as engine:
        outcomes = list(engine.map(work.sleep_on_13, [[1, 2, 13], [4]]))
    lost = [item for item in outcomes if isinstance(item, Lost)]
    assert [(item.position, item.reason) for item in lost] == [(2, "decoder_timeout")]
    assert [item.task for item in outcomes if isinstance(item, Done)] == [[4]]


def test_memory_beyond_the_limit_is_refused_and_the_worker_lives_on():
    with LocalEngine(1, 30, memory_bytes=200 * 2**20) as engine:
        (outcome,) = engine.map(work.eat_memory, [[50, 400, 100]])
    assert outcome.result == ["50 taken", "refused", "100 taken"]


def test_computing_too_long_is_ended_by_the_kernel_also_when_nobody_looks(monkeypatch):
    monkeypatch.setattr("image_assets.engines.local._CPU_GRACE_S", 0.0)
    monkeypatch.setattr("image_assets.engines.local._THREADS", 1)
    # By the clock it could go on for a minute.
    monkeypatch.setattr("image_assets.engines.local._Worker.deadline", lambda worker, _: worker.given_at + 60)
    with LocalEngine(1, 1.0) as engine:
        outcomes = list(engine.map(work.compute_on_13, [[1, 13, 2]]))
    assert [(item.position, item.reason) for item in outcomes] == [(1, "decoder_timeout")]


@pytest.mark.parametrize("ending", ["success", "error", "early"])
def test_no_process_is_left_behind(ending):
    before = set(psutil.Process().children(recursive=True))
    with LocalEngine(2, 30) as engine:
        if ending == "success":
            list(engine.map(work.double, [[1], [2]]))
        elif ending == "error":
            with pytest.raises(StoreError):
                list(engine.map(work.find_a_full_disk, [[1], [2]]))
        else:
            next(iter(engine.map(work.double, [[1], [2], [3]])))
    assert set(psutil.Process().children(recursive=True)) == before
