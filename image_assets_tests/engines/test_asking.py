"""Workers elsewhere ask the run's process: only with its key, only what it offers, and they hear what went wrong."""

import pickle
import socket
import threading
from multiprocessing.connection import Connection

import pytest

from image_assets.core.errors import EngineError, StoreError
from image_assets.engines import asking
from image_assets.engines.asking import Answering, Asker, Door, own_address


def refuse() -> None:
    raise StoreError("no room left")


def serving(**functions):
    return Answering(functions, "127.0.0.1", own=True)


def test_answers_come_back_to_each_of_many_who_ask():
    with serving(double=lambda number: 2 * number) as answering:
        askers = [pickle.loads(pickle.dumps(Asker(answering.door))) for _ in range(8)]
        found = {}
        threads = [
            threading.Thread(target=lambda n=n, asker=asker: found.update({n: asker.ask("double", n)}))
            for n, asker in enumerate(askers)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: 2 * number for number in range(8)}
        for asker in askers:
            asker.close()


def test_what_the_run_cannot_do_is_told_and_the_next_question_is_answered():
    with serving(refuse=refuse, one=lambda: 1) as answering:
        asker = Asker(answering.door)
        with pytest.raises(StoreError, match="no room left"):
            asker.ask("refuse")
        assert asker.ask("one") == 1
        asker.close()


def test_who_does_not_know_the_key_gets_no_answer():
    asked = []
    with serving(ask=lambda: asked.append(1)) as answering:
        with pytest.raises(EngineError, match="something else answers"):
            Asker(Door("127.0.0.1", answering.door.port, b"0" * 32)).ask("ask")
        # Neither does rubbish stop the others.
        with socket.create_connection(("127.0.0.1", answering.door.port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
            with Connection(socket.create_connection(("127.0.0.1", answering.door.port)).detach()) as silent:
                assert silent.poll(5)
                asker = Asker(answering.door)
                asker.ask("ask")
                asker.close()
    assert asked == [1]


def test_a_connection_that_broke_is_made_again():
    with serving(one=lambda: 1) as answering:
        asker = Asker(answering.door)
        assert asker.ask("one") == 1
        asker._connection.close()
        assert asker.ask("one") == 1
        asker.close()


def test_a_run_that_is_gone_is_named_with_what_to_do(monkeypatch):
    monkeypatch.setattr(asking, "_TRY_S", 0.1)
    with serving() as answering:
        door = answering.door
    with pytest.raises(EngineError, match=rf"cannot reach the run at 127.0.0.1:{door.port} .*set engine.host"):
        Asker(door).ask("one")


def test_an_address_of_another_machine_cannot_be_listened_at():
    with pytest.raises(EngineError, match=r"cannot listen at 192\.0\.2\.1.*set engine.host and engine.port"):
        Answering({}, "192.0.2.1", own=True)


@pytest.mark.parametrize(
    ("address", "own"),
    [(None, "127.0.0.1"), ("tcp://127.0.0.1:8786", "127.0.0.1"), ("spark://localhost:7077", "127.0.0.1"),
     ("yarn", "127.0.0.1"), ("ray://[::1]:10001", "::1"), ("tcp://no-such-host.invalid:1", "127.0.0.1")],
)  # fmt: skip
def test_own_address_is_the_one_on_the_way_to_the_cluster(address, own):
    assert own_address(address) in {own, "::1"}
