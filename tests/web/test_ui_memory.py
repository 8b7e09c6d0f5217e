"""An editing session on a long video: resident memory of the server stays below 1.2 GB."""

import re
import subprocess
import sys
from pathlib import Path

import av
import httpx2 as httpx
import pytest

NUM_FRAMES = 3000
MAX_BYTES = 1_200_000_000
SHARED = Path(__file__).parents[2].parent / "shared"


def lengthened(source: Path, target: Path, num_frames: int) -> None:
    """The packets of ``source`` again and again, with later times: real frames without encoding any."""
    with av.open(str(source)) as container, av.open(str(target), "w") as out:
        stream = container.streams.video[0]
        packets = [p for p in container.demux(stream) if p.size]
        assert packets[0].is_keyframe
        copy = out.add_stream_from_template(stream)
        step = packets[-1].duration or round(1 / stream.time_base / stream.average_rate)
        length = step * len(packets)
        contents = [(bytes(p), p.pts, p.dts, p.is_keyframe) for p in packets]
        for i in range(num_frames):
            data, pts, dts, is_key = contents[i % len(contents)]
            shift = length * (i // len(contents))
            packet = av.Packet(data)
            packet.stream, packet.time_base = copy, stream.time_base
            packet.pts, packet.dts, packet.is_keyframe = pts + shift, dts + shift, is_key
            out.mux(packet)


def peak_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", text)[1]) * 1024


@pytest.fixture
def server(tmp_path):
    clip = tmp_path / "long.mp4"
    lengthened(SHARED / "clips" / "bees.mp4", clip, NUM_FRAMES)
    command = [sys.executable, "-m", "sampt", "ui", "--root", str(tmp_path), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield process.pid, found[0].rstrip("/"), tmp_path.name
                break
        else:
            pytest.fail("the server reported no address")
    finally:
        process.terminate()
        process.communicate(timeout=20)


@pytest.mark.slow  # hundreds of frames of 1280x720 pixels
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_long_video_is_edited_in_bounded_memory(server):
    pid, address, root = server
    with httpx.Client(base_url=f"{address}/api/v1/", timeout=120) as client:

        def ask(method, path, **kwargs):
            answer = client.request(method, path, **kwargs)
            assert answer.status_code < 300, (path, answer.text)
            assert peak_bytes(pid) < MAX_BYTES, path
            return answer

        state = ask("POST", "session", json={"video": f"{root}/long.mp4"}).json()
        video = state["video"]
        assert (video["num_frames"], video["width"], video["height"]) == (NUM_FRAMES, 1280, 720)
        object_id = ask("POST", "session/objects", json={"name": "bee"}).json()["object"]["object_id"]
        for frame in range(0, NUM_FRAMES, 23):  # scrubbing
            assert ask("GET", f"session/frames/{frame}").headers["content-type"] == "image/jpeg"
        for frame in (0, 700, 1500, 2200, 2990):
            click = {"object_id": object_id, "frame": frame, "x": 282.5, "y": 241, "is_positive": True}
            ask("POST", "session/points", json=click)
            masks = ask("GET", f"session/frames/{frame}/masks", params={"preview": "true"}).json()
            assert masks["objects"][0]["rle"]["size"] == [720, 1280]
        # Embeddings of more frames than are kept.
        for frame in range(100, 2900, 140):
            point = ask(
                "POST", "session/points", json={"object_id": object_id, "frame": frame, "x": 300, "y": 240, "is_positive": True}
            )
            ask("GET", f"session/frames/{frame}/masks", params={"preview": "true"})
            ask("DELETE", f"session/points/{point.json()['point']['point_id']}")
        ask("POST", "session/propagations", json={"start": 1490, "stop": 1510})
        while ask("GET", "session/propagations").json()["is_running"]:
            ask("GET", "session/frames/1500/masks")
        assert ask("GET", "session/frames/1509/masks").json()["objects"][0]["state"] == "present"
        ask("GET", "session/timelines")
        made = ask("POST", "session/exports", json={"format": "youtube-vis"}).json()
        while not made["is_done"]:
            made = ask("GET", f"session/exports/{made['export_id']}").json()
        assert made["error"] is None
        assert made["num_bytes"] > 0
    print(f"peak {peak_bytes(pid) / 1e6:.0f} MB")
