"""The policies and rules of docs/bucket.md are what the commands need, and no more."""

import json
import os
import re
from pathlib import Path

import boto3
import pytest
from servers.plugin import s3_servers

PAGE = Path(__file__).parents[2] / "docs" / "bucket.md"
ON_BUCKET = {"s3:ListBucket", "s3:ListBucketMultipartUploads"}
ON_OBJECTS = {
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
}


def blocks():
    return [json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE.read_text(), re.DOTALL)]


AWS_POLICY, MINIO_POLICY, LIFECYCLE = blocks()


@pytest.mark.parametrize("policy", [AWS_POLICY, MINIO_POLICY], ids=["aws", "minio"])
def test_a_policy_allows_exactly_what_the_stages_use(policy):
    allowed = {"arn:aws:s3:::BUCKET": set(), "arn:aws:s3:::BUCKET/PREFIX/*": set()}
    for statement in policy["Statement"]:
        assert statement["Effect"] == "Allow"
        (resource,) = statement["Resource"]
        allowed[resource] |= set(statement["Action"])
    assert list(allowed.values()) == [ON_BUCKET, ON_OBJECTS]


def test_the_lifecycle_rule_expires_and_moves_no_object():
    (rule,) = LIFECYCLE["Rules"]
    assert rule.keys() == {"ID", "Status", "Filter", "AbortIncompleteMultipartUpload"}
    assert 1 <= rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"] <= 7


def test_every_command_of_the_page_exists(svc_jobs):
    for name in sorted(set(re.findall(r"`workspace (\w+)", PAGE.read_text()))):
        assert svc_jobs("workspace", name, "--help").code == 0


if "minio" in s3_servers():
    # SeaweedFS knows no policies of a session: only MinIO can say whether these suffice.
    PREFIX = f"policy-{os.getpid()}"

    @pytest.fixture
    def as_user(aws, minio, monkeypatch):
        """Becomes a user with the page's policy, without some actions."""

        def become(without=()):
            aws(minio)
            text = json.dumps(MINIO_POLICY).replace("BUCKET", minio.bucket).replace("PREFIX", PREFIX)
            narrowed = json.loads(text)
            for statement in narrowed["Statement"]:
                statement["Action"] = [action for action in statement["Action"] if action not in without]
            narrowed["Statement"] = [statement for statement in narrowed["Statement"] if statement["Action"]]
            sts = boto3.client("sts", endpoint_url=minio.endpoint)
            given = sts.assume_role(
                RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="test", Policy=json.dumps(narrowed)
            )["Credentials"]
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", given["AccessKeyId"])
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", given["SecretAccessKey"])
            monkeypatch.setenv("AWS_SESSION_TOKEN", given["SessionToken"])
            return f"s3://{minio.bucket}/{PREFIX}"

        return become

    def test_a_user_with_the_policy_can_do_all(svc_jobs, as_user, recordings, tmp_path):
        url, root = as_user(), recordings(count=1, seconds=2.0)
        for command in (
            ["doctor", "-w", url],
            ["workspace", "sync", root, url],
            ["workspace", "verify", "-w", url],
            ["workspace", "gc", "--delete", "--older-than-s", "0", "-w", url],
            ["workspace", "sync", url, tmp_path / "back"],
        ):
            ran = svc_jobs(*command)
            assert (ran.code, ran.err) == (0, ""), command

    def test_other_workspaces_of_the_bucket_are_closed(svc_jobs, as_user):
        url = as_user().replace(PREFIX, "another")
        ran = svc_jobs("doctor", "-w", url)
        assert ran.code == 78
        assert "put: " in ran.err

    @pytest.mark.parametrize("action", ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
    def test_doctor_names_the_action_that_is_missing(svc_jobs, as_user, action):
        ran = svc_jobs("doctor", "-w", as_user(without=[action]))
        assert ran.code == 78
        assert action in ran.err

    def test_gc_without_the_right_to_see_uploads_says_so_and_goes_on(svc_jobs, as_user):
        ran = svc_jobs("workspace", "gc", "-w", as_user(without=["s3:ListBucketMultipartUploads"]))
        assert ran.code == 0
        assert "s3:ListBucketMultipartUploads" in ran.err
