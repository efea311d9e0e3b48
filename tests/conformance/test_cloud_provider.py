"""Clouds by Libcloud: platforms that share an account, and what is said when a cloud fails."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
import yaml

from callwright.autoscaler.provider import Machine, Order, ProviderError, Unusable
from callwright.autoscaler.providers.libcloud import Clouds
from tests.conformance.test_provider import cloud_settings, ec2, order, tags

__all__ = ["ec2"]

pytest.importorskip("libcloud")


async def test_platforms_that_share_an_account_do_not_see_each_others_machines(ec2: str) -> None:
    ours, theirs = Clouds(cloud_settings(ec2), "one"), Clouds(cloud_settings(ec2), "two")
    made = await ours.create(order("agent-a"))
    await theirs.create(order("agent-a"))
    await theirs.destroy(Machine("agent-a", made.id))
    assert await tags(ours) == await tags(theirs) == ["agent-a"]
    for one in (ours, theirs):
        await one.destroy(Machine("agent-a", ""))
    assert await tags(ours) == await tags(theirs) == []


async def test_a_machine_is_told_to_install_an_agent_that_enrols_with_its_token(ec2: str) -> None:
    boto3 = pytest.importorskip("boto3")
    clouds = Clouds(replace(cloud_settings(ec2), package="callwright==9"), "one")
    made = await clouds.create(order("agent-a"))
    client = boto3.client(
        "ec2",
        region_name="eu-central-1",
        endpoint_url=f"http://{ec2}",
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
    )
    found = client.describe_instance_attribute(InstanceId=made.id, Attribute="userData")
    files = yaml.safe_load(base64.b64decode(found["UserData"]["Value"]))["write_files"]
    kept = {one["path"]: one["content"] for one in files}
    assert kept["/etc/callwright/enrolment"] == "cwe_secret\n"
    assert "callwright==9" in kept["/usr/local/sbin/callwright-agent"]
    assert "--url http://127.0.0.1:1 --name agent-a --capacity 3" in kept["/usr/local/sbin/callwright-agent"]
    await clouds.destroy(made)


async def test_a_cloud_that_does_not_answer_is_an_error_and_never_an_empty_list() -> None:
    with pytest.raises(ProviderError):
        await Clouds(cloud_settings("127.0.0.1:1"), "one").list()


async def test_what_is_missing_or_wrong_is_told_before_a_machine_is_asked_for(ec2: str) -> None:
    settings = cloud_settings(ec2)
    with pytest.raises(Unusable, match="no driver 'nowhere'"):
        Clouds(replace(settings, driver="nowhere"), "one")
    with pytest.raises(Unusable, match="cannot be opened"):
        Clouds(replace(settings, arguments={"key": "k", "secret": "s", "region": "moon-1"}), "one")
    with pytest.raises(Unusable, match="name no image"):
        await Clouds(replace(settings, image=""), "one").create(Order("agent-a", "lab", "http://x", "cwe_x"))
