"""Requests to the API server: what each refusal and each broken connection becomes."""

import dataclasses
import subprocess
import sys

import pytest
from cluster_server import Answer, ApiServer, status

from jobs.cluster import client
from jobs.cluster.answers import Forbidden
from jobs.cluster.client import connect
from jobs.cluster.target import Target
from svc_core.errors import ConfigError, Conflict, Transient

ONE = Target("workflows", "svc", "svc-alice-x")
PATH = "/apis/argoproj.io/v1alpha1/namespaces/svc/workflows/svc-alice-x"
LIST = PATH.rpartition("/")[0]


@pytest.fixture
def server():
    started = ApiServer()
    yield started
    started.close()


@pytest.fixture
def cluster(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    return connect()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("version"), "/version"),
        (Target("nodes"), "/api/v1/nodes"),
        (Target("pods", "svc", "a b", "log"), "/api/v1/namespaces/svc/pods/a%20b/log"),
        (Target("deployments"), "/apis/apps/v1/deployments"),
        (ONE, PATH),
    ],
)
def test_each_target_has_its_path(target, path):
    assert target.path == path


def test_requests_carry_the_kubeconfigs_token_and_namespace(server, cluster):
    server.on["GET", PATH] = Answer(200, {"kind": "Workflow"})
    assert cluster.namespace == "svc"
    assert cluster.get(ONE) == {"kind": "Workflow"}
    assert server.asked[0].headers["Authorization"] == "Bearer secret-token"
    assert "secret-token" not in repr(cluster)


def test_the_context_decides_the_namespace_and_the_flag_goes_before_it(server, tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig", "mine")))
    assert connect().namespace == "mine"
    assert connect(context="there").namespace == "elsewhere"
    assert connect("given", "there").namespace == "given"


def test_a_missing_or_useless_kubeconfig_is_named(tmp_path, monkeypatch, server):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        connect()
    (tmp_path / "torn").write_text("clusters: [")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "torn"))
    with pytest.raises(ConfigError, match="torn"):
        connect()
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    with pytest.raises(ConfigError, match="nowhere"):
        connect(context="nowhere")


RBAC = 'workflows.argoproj.io is forbidden: User "eve" cannot create resource "workflows" in API group "argoproj.io"'


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (status(401, "Unauthorized"), ConfigError, ["401", "log in"]),
        (status(403, RBAC), Forbidden, ["you may not create workflows in namespace svc", "role"]),
        (status(403, 'pods "x" is forbidden: exceeded quota: q'), ConfigError, ["exceeded quota"]),
        (status(404, "the server could not find the requested resource"), ConfigError, ["Argo 4.0.6"]),
        (status(409, "already exists"), Conflict, ["already exists"]),
        (status(422, "speaker must be the name of a folder"), ConfigError, ["speaker must be"]),
        (status(429, "too many requests"), Transient, ["429"]),
        (status(503, "etcd is away"), Transient, ["503", "etcd is away"]),
        (Answer(502, b"<html>Bad gateway</html>"), Transient, ["502"]),
        (Answer(200, b"<html>Log in</html>"), ConfigError, ["does not answer as a Kubernetes API server"]),
    ],
)
def test_each_refusal_is_a_decision_in_one_sentence(server, cluster, answer, error, words):
    server.on["POST", LIST] = answer
    with pytest.raises(error) as raised:
        cluster.create(Target("workflows", "svc"), {})
    assert raised.value.exit_code == error.exit_code
    assert all(word in str(raised.value) for word in words)
    assert "\n" not in str(raised.value)


def test_what_is_not_there_is_none_or_an_error(server, cluster):
    assert cluster.find(ONE) is None
    with pytest.raises(ConfigError, match="does not exist"):
        cluster.get(ONE)
    cluster.delete(ONE)


def test_a_server_that_does_not_answer_is_given_up(server, cluster):
    server.on["GET", PATH] = Answer(200, {}, after_s=60)
    with pytest.raises(Transient, match="cannot be reached"):
        dataclasses.replace(cluster, read_s=0.05).get(ONE)


def test_an_answer_that_breaks_off_is_tried_later(server, cluster):
    server.on["GET", PATH] = Answer(200, {"kind": "Workflow"}, cut=True)
    with pytest.raises(Transient, match="cannot be reached"):
        cluster.get(ONE)


def test_no_server_at_all(server, cluster):
    server.close()
    with pytest.raises(Transient, match="check that the cluster runs"):
        cluster.get(ONE)


def test_lists_are_read_page_by_page(server, cluster):
    def pages(asked):
        if asked.query.get("continue") == "more":
            return Answer(200, {"items": [{"metadata": {"name": "b"}}], "metadata": {}})
        return Answer(200, {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "more"}})

    server.on["GET", LIST] = pages
    assert [item["name"] for item in cluster.metadata(Target("workflows", "svc"))] == ["a", "b"]
    assert "PartialObjectMetadataList" in server.asked[0].headers["Accept"]
    assert len(cluster.items(Target("workflows", "svc"))) == 2


def test_a_patch_is_merged(server, cluster):
    server.on["PATCH", PATH] = Answer(200, {"kind": "Workflow"})
    cluster.patch(ONE, {"spec": {"shutdown": "Stop"}})
    assert server.asked[0].headers["Content-Type"] == "application/merge-patch+json"
    assert server.asked[0].body == {"spec": {"shutdown": "Stop"}}


def test_without_the_client_library_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(ConfigError, match=r"svc-jobs\[cluster\]"):
        connect()


def test_help_of_the_commands_imports_no_kubernetes():
    code = (
        "import sys\nfrom jobs.cli import load_command\n"
        "for name in ('submit', 'status', 'logs', 'cancel', 'doctor'): load_command(name)\n"
        "heavy = {'kubernetes', 'torch', 'pyarrow'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_request_has_a_limit():
    assert 0 < client.CONNECT_S <= client.READ_S <= 60
