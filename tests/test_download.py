"""Downloads from a server on this machine: cut off, wrong, twice at once, no room."""

import errno
import hashlib
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from sklearn_mdjpt.datasets import _download
from sklearn_mdjpt.datasets._download import (
    PublicDataset,
    PublishedFile,
    download_files,
    fetch_files,
)

CONTENT = {
    "sub-01/eeg/a.bdf": np.random.default_rng(0).bytes(3_000_000),
    "sub-01/b.tsv": b"onset\n1\n",
    "sub-02/eeg/a.bdf": np.random.default_rng(1).bytes(50_000),
}


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`, and does what a test asks it to do wrong."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests = []  # (path, first byte)
        self.cut_after = {}  # path -> bytes of a connection
        self.content = dict(CONTENT)
        self.knows_ranges = True
        self.status = {}
        self.pause = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/data/"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, path = self.server, self.path.removeprefix("/data/")
        content = server.content.get(path)
        first = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        first *= server.knows_ranges
        server.requests.append((path, first))
        if content is None or path in server.status:
            self.send_error(server.status.get(path, 404))
            return
        if first and first >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if first else 200)
        if first:
            end = f"{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", f"bytes {first}-{end}")
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        piece = content[first:]
        self.wfile.write(piece[: server.cut_after.get(path, len(piece))])
        if server.pause is not None:
            server.pause.wait(20)
        self.close_connection = True

    def log_message(self, *args):
        """Say nothing."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(_download, "_WAIT_SECONDS", 0.01)
    monkeypatch.delenv("SKLEARN_MDJPT_DATA", raising=False)
    found = Server()
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.shutdown()
    found.server_close()
    thread.join()


def describe(content):
    return PublishedFile(len(content), f"md5:{hashlib.md5(content).hexdigest()}")


@pytest.fixture
def dataset(server):
    found = PublicDataset("TEST", "ds000000", server.url)
    found.__dict__["manifest"] = {p: describe(c) for p, c in CONTENT.items()}
    return found


def check(folder, paths=CONTENT):
    for path in paths:
        assert (folder / path).read_bytes() == CONTENT[path]
    assert not list(folder.rglob("*.part")) and not list(folder.rglob("tmp*"))


def test_all_files_come_and_the_size_is_said_first(dataset, tmp_path, capsys):
    found = download_files(dataset, list(CONTENT), tmp_path / "ds000000")
    assert found == {path: tmp_path / "ds000000" / path for path in CONTENT}
    check(tmp_path / "ds000000")
    said = capsys.readouterr().err
    assert said.startswith(
        "Downloading 3 files of TEST, 3.05 MB, from http://127.0.0.1"
    )


def test_a_cut_connection_goes_on_where_it_stopped(dataset, server, tmp_path):
    path = "sub-01/eeg/a.bdf"
    server.cut_after[path] = 1_100_000
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])
    first, second, third = (start for _, start in server.requests)
    # The piece in which a connection ends is lost.
    assert first == 0
    assert 1_000_000 < second <= 1_100_000 < 2_000_000 < third <= 2_200_000


def test_the_next_call_goes_on_as_well(dataset, server, tmp_path):
    path = "sub-01/eeg/a.bdf"
    part = tmp_path / f"{path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[path][:12345])
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])
    assert server.requests == [(path, 12345)]


@pytest.mark.parametrize("fault", ["whole files only", "longer", "all there"])
def test_what_is_left_of_an_earlier_transfer(dataset, server, tmp_path, fault):
    path = "sub-02/eeg/a.bdf"
    part = tmp_path / f"{path}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[path][:1000])
    if fault == "whole files only":
        server.knows_ranges = False
    elif fault == "longer":
        part.write_bytes(b"0" * 60_000)
    else:
        part.write_bytes(CONTENT[path])
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])


def test_a_wrong_digest_is_refused_and_not_kept(dataset, server, tmp_path):
    path = "sub-02/eeg/a.bdf"
    server.content[path] = bytes(50_000)
    with pytest.raises(OSError, match="is not the file that was published.*not kept"):
        download_files(dataset, [path], tmp_path, progress=False)
    assert not [p for p in tmp_path.rglob("a.bdf*") if p.is_file()]
    server.content[path] = CONTENT[path]
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])


@pytest.mark.parametrize("n_bytes", [49_999, 0])
def test_a_file_that_ends_early_on_the_server(dataset, server, tmp_path, n_bytes):
    path = "sub-02/eeg/a.bdf"
    server.content[path] = CONTENT[path][:n_bytes]
    with pytest.raises(OSError, match=r"Could not download .*kept, and the next call"):
        download_files(dataset, [path], tmp_path, progress=False)
    assert not (tmp_path / path).exists()
    server.content[path] = CONTENT[path]
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])


@pytest.mark.parametrize(("status", "n_requests"), [(403, 1), (503, 5)])
def test_servers_that_refuse(dataset, server, tmp_path, status, n_requests):
    path = "sub-01/b.tsv"
    server.status[path] = status
    with pytest.raises(OSError, match=f"Could not download .*b.tsv: {status} "):
        download_files(dataset, [path], tmp_path, progress=False)
    assert len(server.requests) == n_requests


def test_no_network(dataset, tmp_path):
    closed = "http://127.0.0.1:9/"  # nobody listens there
    with pytest.raises(OSError, match="Could not download .*127.0.0.1:9.* by hand"):
        download_files(
            dataset, ["sub-01/b.tsv"], tmp_path, base_url=closed, progress=False
        )


def test_no_room_is_said_before_it_begins(dataset, server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match="takes 3 MB, and 1 kB are free") as caught:
        download_files(dataset, ["sub-01/eeg/a.bdf"], tmp_path, progress=False)
    assert caught.value.errno == errno.ENOSPC
    assert not server.requests


@pytest.mark.parametrize("kind", ["file", "forbidden"])
def test_folders_that_take_no_files(dataset, server, tmp_path, kind, capsys):
    if kind == "file":
        (tmp_path / "x").write_text("a file")
        folder = tmp_path / "x" / "ds000000"
    else:
        folder = Path("/proc/nowhere")
    with pytest.raises(OSError, match="Nothing can be downloaded to this folder"):
        download_files(dataset, ["sub-01/b.tsv"], folder)
    assert not server.requests and not capsys.readouterr().err


def test_a_disk_that_fills_up(dataset, server, tmp_path, monkeypatch):
    path = "sub-01/eeg/a.bdf"
    written = []

    class Full:
        def __init__(self, *args):
            self._file = open(*args)

        def __enter__(self):
            return self

        def __exit__(self, *args):
            self._file.close()

        def write(self, piece):
            written.append(len(piece))
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            self._file.write(piece)

    monkeypatch.setattr(_download, "open", Full, raising=False)
    with pytest.raises(OSError, match="No space left on device. .* of 3 MB") as caught:
        download_files(dataset, [path], tmp_path, progress=False)
    assert caught.value.errno == errno.ENOSPC
    kept = (tmp_path / f"{path}.part").stat().st_size
    assert kept == written[0]
    monkeypatch.undo()
    download_files(dataset, [path], tmp_path, progress=False)
    check(tmp_path, [path])
    assert server.requests[-1] == (path, kept)


def test_two_processes_bring_a_file_once(dataset, server, tmp_path):
    path = "sub-01/eeg/a.bdf"
    server.pause = threading.Event()
    manifest = f"{{{path!r}: PublishedFile{tuple(describe(CONTENT[path]))}}}"
    script = f"""
from pathlib import Path
from sklearn_mdjpt.datasets._download import *
dataset = PublicDataset("TEST", "ds000000", {server.url!r})
dataset.__dict__["manifest"] = {manifest}
print("ready", flush=True)
download_files(dataset, [{path!r}], Path({str(tmp_path)!r}), progress=False)
"""
    start = [sys.executable, "-c", script]
    running = [subprocess.Popen(start, stdout=subprocess.PIPE) for _ in range(2)]
    for process in running:
        process.stdout.readline()
    server.pause.set()
    assert [process.wait(60) for process in running] == [0, 0]
    check(tmp_path, [path])
    assert server.requests == [(path, 0)]


# Where files are looked for ---------------------------------------------------------


def wanted():
    return {"01": ["sub-01/eeg/a.bdf", "sub-01/b.tsv"], "02": ["sub-02/eeg/a.bdf"]}


def put(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(CONTENT[path])


@pytest.mark.parametrize("place", ["ds000000", "open/my_ds000000", "."])
@pytest.mark.parametrize("variable", [False, True])
def test_places(dataset, server, tmp_path, monkeypatch, place, variable):
    root = tmp_path / "ds000000" if place == "." else tmp_path
    put(root / place, *CONTENT)
    if variable:
        monkeypatch.setenv("SKLEARN_MDJPT_DATA", str(root))
    found = fetch_files(
        dataset, wanted(), required=False, data_home=None if variable else root
    )
    assert found["01"]["sub-01/b.tsv"] == root / place / "sub-01/b.tsv"
    assert not server.requests


def test_only_what_is_missing_is_downloaded(dataset, server, tmp_path):
    put(tmp_path / "ds000000", "sub-01/eeg/a.bdf")
    found = fetch_files(
        dataset, wanted(), required=False, data_home=tmp_path, progress=False
    )
    assert set(found) == {"01", "02"}
    assert {path for path, _ in server.requests} == {"sub-01/b.tsv", "sub-02/eeg/a.bdf"}


def test_without_downloading(dataset, server, tmp_path):
    options = {"download": False, "data_home": tmp_path}
    with pytest.raises(FileNotFoundError, match="No subject of TEST has all files"):
        fetch_files(dataset, wanted(), required=False, **options)
    put(tmp_path / "ds000000", "sub-01/b.tsv", "sub-02/eeg/a.bdf")
    found = fetch_files(dataset, wanted(), required=False, **options)
    assert list(found) == ["02"]
    with pytest.raises(
        FileNotFoundError,
        match="Subjects 01 of TEST .*: .* sub-01/eeg/a.bdf",
    ):
        fetch_files(dataset, wanted(), required=True, **options)
    assert not server.requests


def test_files_of_another_size_are_named(dataset, tmp_path):
    put(tmp_path / "ds000000", *CONTENT)
    (tmp_path / "ds000000/sub-02/eeg/a.bdf").write_bytes(b"fabricated")
    with pytest.warns(UserWarning, match="1 files of TEST differ in size.*sub-02/eeg"):
        fetch_files(
            dataset, wanted(), required=False, data_home=tmp_path, download=False
        )


def test_manifests_name_each_file_once_and_its_size():
    sizes = {"FACED": 33.7, "EmoEEG-MC": 7.6, "DENS": 4.8}  # gigabytes
    for name, dataset in _download.PUBLIC_DATASETS.items():
        total = sum(file.n_bytes for file in dataset.manifest.values())
        assert round(total / 1e9, 1) == sizes[name]
        for path, file in dataset.manifest.items():
            assert not Path(path).is_absolute() and ".." not in path
            algorithm, digest = file.digest.split(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[algorithm]
