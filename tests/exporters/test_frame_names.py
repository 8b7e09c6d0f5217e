"""Frames are named as their files, which may hold anything but a slash: every text export stays well formed."""

import csv
import json
import os
import xml.etree.ElementTree as ET
import zipfile
from urllib.parse import unquote_to_bytes

import pytest

NAMES = {
    "control character": "a\x01b",
    "line break": "a\nb",
    "no UTF-8": os.fsdecode(b"a\xffb"),
    "markup": "<b>&\"'",
    "backslashes": "..\\..\\evil",
}


@pytest.fixture(params=NAMES)
def name(request, case, monkeypatch):
    name = NAMES[request.param]
    monkeypatch.setattr(type(case.video), "frame_name", lambda video, i: f"{name}{i}")
    return name


def test_cvat_is_xml_and_keeps_what_xml_can_hold(case, name):
    images = ET.parse(case.export("cvat", "o.xml")).getroot().findall("image")
    kept = name.replace("\x01", "\ufffd").replace("\udcff", "\ufffd")
    assert [image.get("name") for image in images] == [f"{kept}{i}.png" for i in range(len(images))]


@pytest.mark.parametrize("kind", ["tracks-json", "youtube-vis", "label-studio"])
def test_json_holds_any_name(case, name, kind):
    entries = json.loads(case.export(kind, "o.json").read_bytes())
    if kind == "tracks-json":
        assert [frame["name"] for frame in entries["frames"]] == [f"{name}{i}" for i in range(len(entries["frames"]))]
    if kind == "label-studio":
        urls = [task["data"]["image"] for task in entries]
        assert [unquote_to_bytes(url.rpartition("/")[2]) for url in urls] == [
            os.fsencode(f"{name}{i}.jpg") for i in range(len(urls))
        ]


def test_csv_has_a_row_a_point_whatever_the_name(case, name):
    with case.export("tracks-csv", "o.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert len(rows) == 18
    written = name.encode("utf-8", "backslashreplace").decode()
    assert {row["frame_name"] for row in rows} == {f"{written}{i}" for i in range(6)}


@pytest.mark.parametrize("kind", ["png", "cutout-png"])
def test_members_of_archives_stay_in_their_folder_on_windows_too(case, name, kind):
    with zipfile.ZipFile(case.export(kind, "o.zip")) as archive:
        members = archive.namelist()
    assert len(members) == 6
    assert not [member for member in members if "\\" in member or "/" in member]
