"""Connections of this process that somebody else accepted."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from callwright.net import accepted

WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"


def test_a_connection_is_found_by_its_port_and_ended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            theirs, _ = server.accept()
            with theirs:
                assert accepted.peers(port) == {theirs.fileno(): client.getsockname()}
                accepted.end({theirs.fileno(): ("127.0.0.1", 1)})  # another peer by now
                theirs.send(b"x")
                accepted.end(accepted.peers(port))
                assert client.recv(2) == b"x"
                assert client.recv(1) == b""


@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_look_at_the_connections_leaves_the_locks_of_a_database_alone(tmp_path: Path, mode: str) -> None:
    database = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    database.execute(f"PRAGMA journal_mode={mode}")
    database.execute("CREATE TABLE a (b)")
    database.execute("BEGIN IMMEDIATE")
    accepted.peers(1)
    accepted.end(dict.fromkeys(range(64), ("127.0.0.1", 1)))
    other = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path / "a.db")], capture_output=True, text=True, timeout=60
    )
    assert "database is locked" in other.stderr
    database.close()
