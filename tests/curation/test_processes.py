"""A killed run is told from a running one, here at once and elsewhere by its heartbeat."""

from datetime import UTC, datetime

from curation import processes, records


def test_this_process_is_alive_and_a_reused_pid_is_not() -> None:
    attempt = records.to_row(processes.this_process("run", 1))
    assert processes.is_alive(attempt, None, 60)
    assert not processes.is_alive({**attempt, "pid_created": attempt["pid_created"] - 100}, None, 60)


def test_elsewhere_the_heartbeat_tells() -> None:
    attempt = {**records.to_row(processes.this_process("run", 1)), "host": "another-host"}
    beat = datetime.now(UTC).timestamp()
    assert processes.is_alive(attempt, beat, 60)
    assert not processes.is_alive(attempt, beat - 61, 60)
    assert not processes.is_alive(attempt, None, 60)
