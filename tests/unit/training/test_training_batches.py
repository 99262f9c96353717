import dataclasses
import itertools
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from training_workspace import VOICE, add_clip, make_config

from svc_core import layout
from svc_core.batches import (
    Batch,
    BatchOrder,
    Clip,
    ClipDataset,
    CorruptClip,
    Draw,
    Position,
    choose_workers,
    clip_random,
    collate,
    feed,
    load_clip,
    make_item,
)
from svc_core.errors import BadInput
from svc_core.features import sidecar
from svc_core.features.align import stretch

# The reference's list after its own shuffle.
GOLDEN_ORDER = (("bass", "b0", 1), ("alto", "a0", 0), ("alto", "a1", 0))
START = Position(1, 0)


def golden_clips(loader) -> list[Clip]:
    """The three clips; their spectrograms are cut out of the reference's batch, whose rows are a0, a1, b0."""
    spec_rows = {"a0": 0, "a1": 1, "b0": 2}
    clips = []
    for speaker, name, number in GOLDEN_ORDER:
        arrays = {part: loader[f"in_{speaker}_{name}_{part}"] for part in ("wav", "f0", "uv", "soft", "vol")}
        frames = len(arrays["f0"])
        clips.append(
            Clip(
                key=name,
                speaker_id=number,
                samples=arrays["wav"][: frames * 512].astype(np.float32) / 32768,
                content=stretch(arrays["soft"][0], frames, "nearest"),
                f0_hz=arrays["f0"].astype(np.float32),
                uv=arrays["uv"].astype(np.float32),
                spec=loader["noaug_spec"][spec_rows[name], :, :frames],
                volume=arrays["vol"],
            )
        )
    return clips


def golden_batch(loader, *, vol_aug: bool) -> Batch:
    random = Random(int(loader["random_seed"]))
    items = [make_item(clip, random, vol_aug=vol_aug) for clip in golden_clips(loader)]
    return collate(items, with_volume=True)


def test_batch_is_the_reference_batch(golden):
    loader = golden("loader")
    batch = golden_batch(loader, vol_aug=False)
    names = {"c": "c", "f0": "f0", "spec": "spec", "y": "wav", "spk": "spk", "lengths": "lengths", "uv": "uv"}
    for ours, theirs in {**names, "volume": "volume"}.items():
        expected = loader[f"noaug_{theirs}"]
        assert getattr(batch, ours).numpy().dtype == expected.dtype
        np.testing.assert_array_equal(getattr(batch, ours).numpy(), expected)


def test_augmented_batch_is_the_reference_batch(golden):
    loader = golden("loader")
    batch = golden_batch(loader, vol_aug=True)
    for ours, theirs in {"f0": "f0", "y": "wav", "uv": "uv", "volume": "volume"}.items():
        np.testing.assert_array_equal(getattr(batch, ours).numpy(), loader[f"aug_{theirs}"])
    # The spectrogram is computed anew: FORMATS 10 gives 3e-5 for it, and a sum over 74 * 1025 values averages that.
    np.testing.assert_allclose(batch.spec[:, 40].numpy(), loader["aug_spec_bin40"], rtol=0, atol=3e-5)
    sums = batch.spec.double().sum((1, 2)).numpy()
    np.testing.assert_allclose(sums, loader["aug_spec_sum_per_item"], rtol=1e-6)


def long_clip(frames: int) -> Clip:
    """A clip whose vectors hold the number of each frame."""
    numbers = np.arange(frames, dtype=np.float32)
    samples = np.repeat(numbers, 512) / 10_000
    spec = np.broadcast_to(numbers, (1025, frames)).copy()
    return Clip("long", 0, samples, np.broadcast_to(numbers, (4, frames)).copy(), numbers, numbers, spec, numbers)


def test_long_clip_is_cut_where_the_reference_cuts_it(golden):
    loader = golden("loader")
    frames, start = int(loader["long_T"]), int(loader["long_start_seeded"])
    item = make_item(long_clip(frames), Random(int(loader["random_seed"])), vol_aug=False)
    assert len(item.f0) == int(loader["long_crop_frames"])
    assert len(item.y) == int(loader["long_crop_samples"])
    for part in (item.f0, item.uv, item.volume, item.c[0], item.spec[0]):
        assert part.tolist() == list(range(start, start + 790))
    assert item.y[0].item() == np.float32(start) / np.float32(10_000)


def test_clip_of_800_frames_stays_whole():
    assert len(make_item(long_clip(800), Random(1), vol_aug=False).f0) == 800
    assert len(make_item(long_clip(801), Random(1), vol_aug=False).f0) == 790


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_gain_is_the_same_on_audio_and_volume_and_never_clips(seed):
    clip = dataclasses.replace(long_clip(30), samples=np.linspace(-0.5, 0.4, 30 * 512, dtype=np.float32))
    item = make_item(clip, Random(seed), vol_aug=True)
    gain = item.volume[-1].item() / clip.volume[-1]
    # 10^-1 and 10^log10(1/0.50001); float32 keeps 7 digits.
    assert 0.1 - 1e-6 <= gain <= 1 / 0.50001 + 1e-6
    assert item.y.abs().max().item() <= 1
    np.testing.assert_allclose(item.y.numpy(), clip.samples * np.float32(gain), rtol=1e-6)


@settings(deadline=None)
@given(
    clips=st.integers(1, 40),
    batch_size=st.integers(1, 9),
    resumed_size=st.integers(1, 9),
    seed=st.integers(0, 99),
    cut=st.integers(0, 60),
)
def test_resumed_order_sees_each_clip_once_per_epoch(clips, batch_size, resumed_size, seed, cut):
    first = list(itertools.islice(BatchOrder(clips, batch_size, seed).batches(START, 3), cut))
    position = first[-1].after if first else START
    rest = list(BatchOrder(clips, resumed_size, seed).batches(position, 3))
    draws = [draw for drawn in first + rest for draw in drawn.draws]
    assert sorted(draws) == [Draw(epoch, clip) for epoch in (1, 2, 3) for clip in range(clips)]
    if batch_size == resumed_size:
        assert first + rest == list(BatchOrder(clips, batch_size, seed).batches(START, 3))


def test_order_follows_seed_and_epoch():
    def epochs(seed):
        batches = BatchOrder(50, 50, seed).batches(START, 2)
        return [[draw.clip for draw in drawn.draws] for drawn in batches]

    first, second = epochs(1)
    assert first != second
    assert epochs(1) == [first, second]
    assert epochs(2) != [first, second]


@settings(deadline=None)
@given(clips=st.integers(1, 60), batch_size=st.integers(1, 5), world=st.integers(1, 4))
def test_ranks_share_an_epoch_without_overlap(clips, batch_size, world):
    ranks = [
        [
            draw
            for drawn in BatchOrder(clips, batch_size, 3, rank=rank, world=world).batches(START, 1)
            for draw in drawn[0]
        ]
        for rank in range(world)
    ]
    together = [draw.clip for rank in ranks for draw in rank]
    assert sorted(together) == list(range(clips))


def test_rows_without_volume(workspace: Path):
    config = make_config()
    item = make_item(load_clip(workspace, layout.wav_key(VOICE, "clip-0"), config), Random(1), vol_aug=False)
    assert collate([item], with_volume=False).volume is None


def test_batch_keeps_its_parts_on_the_way_to_a_device(workspace: Path):
    config = make_config()
    item = make_item(load_clip(workspace, layout.wav_key(VOICE, "clip-0"), config), Random(1), vol_aug=False)
    batch = collate([item], with_volume=False).to(torch.device("meta"))
    assert batch.volume is None
    assert {part.device.type for part in batch if part is not None} == {"meta"}


def fed_batches(root: Path, keys: list[str], workers: int = 0, **changes):
    config = make_config(train__vol_aug=True, **changes)
    order = BatchOrder(len(keys), 3, config.train.seed).batches(START, 2)
    return feed(ClipDataset(root, keys, config), order, workers=workers, pin_memory=False)


def training_keys() -> list[str]:
    return [layout.wav_key(VOICE, f"clip-{index}") for index in range(6)]


def test_worker_brings_the_same_batches_and_an_errors_own_type(workspace: Path):
    keys = training_keys()
    second = list(BatchOrder(6, 3, make_config().train.seed).batches(START, 1))[1]
    damaged = keys[second.draws[1].clip]
    (workspace / layout.sidecar_keys(damaged).spec).write_bytes(b"no tensor")
    expected = next(fed_batches(workspace, keys))
    random_state = torch.get_rng_state()

    batches = fed_batches(workspace, keys, workers=1)
    arrived = next(batches)
    assert arrived.after == expected.after
    for ours, theirs in zip(arrived.batch, expected.batch, strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(CorruptClip, match=f"^{layout.sidecar_keys(damaged).spec} .*run the features stage") as raised:
        next(batches)
    assert raised.value.wav_key == damaged
    assert torch.equal(torch.get_rng_state(), random_state)


KILLED_WORKER = """
import multiprocessing
from pathlib import Path
from test_training_batches import fed_batches, training_keys
from svc_core.batches import naming_killed_workers
from svc_core.errors import Transient

try:
    with naming_killed_workers():
        batches = fed_batches(Path({root!r}), training_keys() * 20, workers=1)
        next(batches)
        for child in multiprocessing.active_children():
            child.kill()
        list(batches)
except Transient as error:
    print(error)
"""


def test_killed_worker_is_a_reason_to_try_again(workspace: Path):
    """In a process of its own: torch raises wherever the main thread is when a worker dies."""
    program = KILLED_WORKER.format(root=str(workspace))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ran.stdout.startswith("a process that loads clips was killed"), ran.stderr


def test_epochs_draw_anew_and_repeat_exactly(workspace: Path):
    def rows(fed_list):
        return [tuple(fed.batch.volume.sum(1).tolist()) for fed in fed_list]

    keys = training_keys()
    once, again = rows(fed_batches(workspace, keys)), rows(fed_batches(workspace, keys))
    assert once == again
    assert sorted(once[0] + once[1]) != sorted(once[2] + once[3])


def test_clip_draws_do_not_depend_on_other_clips():
    assert clip_random(1, 2, "a").random() == clip_random(1, 2, "a").random()
    others = {clip_random(*given).random() for given in ((1, 2, "a"), (2, 2, "a"), (1, 3, "a"), (1, 2, "b"))}
    assert len(others) == 4


@pytest.mark.parametrize("kept", [True, False])
def test_all_in_mem_reads_each_clip_once(workspace: Path, kept: bool):
    batches = fed_batches(workspace, training_keys(), train__all_in_mem=kept)
    next(batches), next(batches)
    for key in training_keys():
        (workspace / key).unlink()
    if kept:
        assert len(list(batches)) == 2
    else:
        with pytest.raises(BadInput, match="run slice again"):
            next(batches)


def test_workers_only_where_they_help():
    assert choose_workers(make_config(), torch.device("cpu")) == 0
    assert choose_workers(make_config(train__all_in_mem=True), torch.device("cuda")) == 0
    assert 0 <= choose_workers(make_config(), torch.device("cuda")) <= 4


def test_corrupt_sidecar_names_the_clip(workspace: Path):
    key = layout.wav_key(VOICE, "clip-1")
    (workspace / layout.sidecar_keys(key).f0).unlink()
    with pytest.raises(CorruptClip, match=r"clip-1\.wav\.f0\.npy is missing") as raised:
        load_clip(workspace, key, make_config())
    assert raised.value.wav_key == key


def test_content_of_another_encoder_is_refused(workspace: Path):
    key = layout.wav_key(VOICE, "clip-1")
    sidecar.write_content(workspace, key, np.zeros((24, 30)))
    with pytest.raises(CorruptClip, match="has 24 channels, the network takes 80"):
        load_clip(workspace, key, make_config())


@pytest.mark.parametrize(("missing_frames", "fits"), [(0, True), (2, True), (3, False)])
def test_sidecars_may_miss_two_frames_of_their_wav(workspace: Path, missing_frames: int, fits: bool):
    key = layout.wav_key(VOICE, "clip-1")
    whole = sidecar.read_all(workspace, key)
    keys, frames = layout.sidecar_keys(key), whole.spec.shape[1] - missing_frames
    sidecar.write_tensor(workspace, keys.spec, whole.spec[:, :frames])
    for name, values in ((keys.f0, whole.f0_hz), (keys.uv, whole.uv), (keys.volume, whole.volume)):
        sidecar.write_vector(workspace, name, values[:frames])
    if fits:
        clip = load_clip(workspace, key, make_config())
        assert len(clip.samples) == 512 * frames
        assert clip.content.shape == (80, frames)
    else:
        with pytest.raises(CorruptClip, match=f"has {frames + 3} frames, its sidecars {frames}"):
            load_clip(workspace, key, make_config())


def test_clip_shorter_than_the_segment_is_refused(workspace: Path):
    key = add_clip(workspace, VOICE, "short", 0.3)
    assert len(load_clip(workspace, key, make_config(train__segment_size=25 * 512)).f0_hz) == 25
    with pytest.raises(BadInput, match=r"short\.wav has 25 frames, train\.segment_size takes 26"):
        load_clip(workspace, key, make_config(train__segment_size=26 * 512))


def test_clip_of_an_unknown_speaker_is_refused(workspace: Path):
    key = add_clip(workspace, "stranger", "clip-0", 0.5)
    with pytest.raises(BadInput, match="'stranger', who is not in the config"):
        load_clip(workspace, key, make_config())
