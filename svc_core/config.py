"""The trainer config: so-vits-svc 4.1's schema, and what we record under one key of our own, `svc_jobs`.

Each field says what it is and in which unit; the bounds are checked, all mistakes are reported together. A default
exists here and nowhere else; what differs between the three networks is in `settings.PRESETS`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from svc_core import files, manifest
from svc_core.errors import ConfigError
from svc_core.registry import ENCODERS, F0_PREDICTORS, encoder_of_config

HOP_SAMPLES = 512
RATE_HZ = 44_100

Channels = Annotated[int, Field(ge=1, le=8192)]


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), strict=False)


class TrainBlock(Block):
    """`train`, 4.1's names."""

    log_interval: int = Field(200, ge=1, description="steps between two lines of metrics")
    eval_interval: int = Field(800, ge=1, description="steps between two checkpoints")
    seed: int = Field(1234, ge=0, lt=2**63, description="seed of weights, order and crops")
    epochs: int = Field(
        10000, ge=1, description="passes over the training clips, if svc_jobs.steps is not reached before"
    )
    learning_rate: float = Field(1e-4, gt=0, le=1, description="AdamW's step size")
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.8, 0.99)
    eps: float = Field(1e-9, gt=0, le=1)
    batch_size: int = Field(6, ge=1, le=4096, description="clips per step")
    fp16_run: bool = Field(False, description="true: networks run in half_type, losses in fp32")
    half_type: Literal["fp16", "bf16"] = Field("fp16", description="with fp16_run, only bf16 is supported")
    lr_decay: float = Field(0.999875, gt=0, le=1, description="factor on the learning rate per epoch")
    segment_size: int = Field(10240, ge=HOP_SAMPLES, description="samples the decoder makes per clip and step")
    init_lr_ratio: float = Field(1, description="unused, as in 4.1")
    warmup_epochs: int = Field(0, ge=0, description="epochs of linear warm-up")
    c_mel: float = Field(45, ge=0, description="weight of the mel loss")
    c_kl: float = Field(1.0, ge=0, description="weight of the KL loss")
    use_sr: bool = Field(True, description="unused, as in 4.1")
    max_speclen: int = Field(512, description="unused, as in 4.1")
    port: str = Field("8001", description="unused: one process trains")
    keep_ckpts: int = Field(3, ge=0, le=1000, description="newest checkpoints kept; 0 keeps all")
    all_in_mem: bool = Field(False, description="keep every clip and sidecar in memory")
    vol_aug: bool = Field(False, description="random gain on wav and volume")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.fp16_run and self.half_type == "fp16":
            raise ValueError("fp16_run with half_type 'fp16' is not supported (it diverges): use half_type 'bf16'")
        if self.segment_size % HOP_SAMPLES:
            raise ValueError(f"segment_size must be a multiple of {HOP_SAMPLES} samples, not {self.segment_size}")
        return self


class DataBlock(Block):
    """`data`, 4.1's names. The signal grid is fixed: F = floor(T / 512) frames at 44.1 kHz."""

    training_files: str = "data/prep/filelists/train.txt"
    validation_files: str = "data/prep/filelists/val.txt"
    max_wav_value: float = Field(32768.0, ge=32768, le=32768)
    sampling_rate: Literal[44100] = Field(44100, description="Hz")
    filter_length: Literal[2048] = Field(2048, description="samples of the FFT")
    hop_length: Literal[512] = Field(512, description="samples per frame")
    win_length: Literal[2048] = Field(2048, description="samples of the Hann window")
    n_mel_channels: int = Field(80, ge=8, le=256)
    mel_fmin: float = Field(0.0, ge=0, description="Hz")
    mel_fmax: float = Field(22050, gt=0, le=22050, description="Hz")
    unit_interpolate_mode: Literal["nearest", "left"] = "nearest"


class ModelBlock(Block):
    """`model`, 4.1's names: the network's shapes."""

    inter_channels: Channels = 192
    hidden_channels: Channels = 192
    filter_channels: Channels = 768
    n_heads: int = Field(2, ge=1, le=64)
    n_layers: int = Field(6, ge=1, le=64)
    kernel_size: Literal[1, 3, 5, 7] = 3
    p_dropout: float = Field(0.1, ge=0, lt=1)
    resblock: Literal["1"] = "1"
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2, 2)
    upsample_initial_channel: Channels = 512
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4, 4)
    n_layers_q: int = Field(3, description="unused, as in 4.1")
    n_layers_trans_flow: int = Field(3, description="only used by the transformer flow, which is not supported")
    n_flow_layer: int = Field(4, ge=1, le=64, description="WaveNet layers in each coupling")
    use_spectral_norm: Literal[False] = False
    gin_channels: Channels = Field(768, description="width of the speaker embedding")
    ssl_dim: Channels = Field(768, description="D, width of the content features")
    n_speakers: int = Field(200, ge=1, le=100_000, description="rows of the speaker table")
    vocoder_name: Literal["nsf-hifigan"] = "nsf-hifigan"
    speech_encoder: str = "vec768l12"
    speaker_embedding: bool = Field(False, description="unused, as in 4.1")
    vol_embedding: bool = Field(False, description="the network also hears the volume envelope")
    use_depthwise_conv: bool = False
    flow_share_parameter: bool = False
    use_automatic_f0_prediction: bool = True
    use_transformer_flow: Literal[False] = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.upsample_rates) != len(self.upsample_kernel_sizes):
            raise ValueError("upsample_rates and upsample_kernel_sizes must have the same number of stages")
        product = 1
        for rate in self.upsample_rates:
            product *= rate
        if product != HOP_SAMPLES:
            raise ValueError(f"upsample_rates must multiply to {HOP_SAMPLES} samples per frame, not {product}")
        for rate, kernel in zip(self.upsample_rates, self.upsample_kernel_sizes, strict=True):
            if kernel < rate or (kernel - rate) % 2:
                raise ValueError(
                    f"upsample_kernel_sizes must be as large as upsample_rates or larger by an even number of samples, "
                    f"not {kernel} with {rate}"
                )
        if self.inter_channels % 2:
            raise ValueError(f"inter_channels must be even, not {self.inter_channels}: the flow halves them")
        if len(self.resblock_kernel_sizes) != len(self.resblock_dilation_sizes):
            raise ValueError("resblock_kernel_sizes and resblock_dilation_sizes must have the same length")
        if self.hidden_channels % self.n_heads:
            raise ValueError(f"hidden_channels ({self.hidden_channels}) must be a multiple of n_heads ({self.n_heads})")
        return self


class SliceBlock(Block):
    """How a recording is cut. Durations in milliseconds, levels in dB."""

    threshold_db: float = Field(
        -40, ge=-90, le=0, description="dB below full scale, after the gain: quieter is silence"
    )
    min_length_ms: int = Field(5000, ge=100, le=600_000, description="a clip is not cut before this length")
    max_length_ms: int | None = Field(
        15_000, ge=500, le=600_000, description="longer clips are cut at their quietest point; null: no maximum"
    )
    min_interval_ms: int = Field(300, ge=10, le=60_000, description="shorter silences do not cut")
    hop_ms: int = Field(10, ge=1, le=1000, description="step of the level measurement")
    max_sil_kept_ms: int = Field(500, ge=10, le=60_000, description="silence kept around a cut")
    min_clip_ms: int = Field(300, ge=1, le=60_000, description="shorter clips are dropped into the ledger")
    trim_db: float = Field(40, gt=0, le=120, description="dB below a clip's own peak: its quiet ends are trimmed")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.min_length_ms >= self.min_interval_ms >= self.hop_ms:
            raise ValueError("needs min_length_ms >= min_interval_ms >= hop_ms")
        if self.max_sil_kept_ms < self.hop_ms:
            raise ValueError("max_sil_kept_ms must be at least hop_ms")
        if self.max_length_ms is not None and self.max_length_ms < 2 * self.min_interval_ms:
            raise ValueError("max_length_ms must be at least twice min_interval_ms")
        if self.max_length_ms is not None and self.max_length_ms < self.min_clip_ms:
            raise ValueError("max_length_ms must be at least min_clip_ms, else every clip is dropped")
        return self


class LoudnessBlock(Block):
    mode: Literal["lufs", "peak", "none"] = Field(
        "lufs", description="lufs: BS.1770 per recording; peak: each clip to full scale, as 4.1; none: as recorded"
    )
    target_lufs: float = Field(-23, ge=-60, le=-5, description="LUFS")
    true_peak_dbtp: float = Field(-1, ge=-20, le=0, description="dBTP; the gain is lowered to stay under it")


class FeatureBlock(Block):
    f0_predictor: str = Field("swift-f0", description="one of " + ", ".join(F0_PREDICTORS))
    encoder_backend: Literal["torch", "onnx"] = Field("torch", description="what runs the encoder")
    encoder_precision: Literal["fp32", "bf16", "int8"] = Field("fp32", description="arithmetic of the encoder")
    weights_sha256: dict[str, str] = Field(
        default_factory=dict, description="sha256 that the weights of an encoder or f0 predictor must have, by its name"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.f0_predictor not in F0_PREDICTORS:
            raise ValueError(f"f0_predictor {self.f0_predictor!r} is unknown: use one of {', '.join(F0_PREDICTORS)}")
        if (self.encoder_backend, self.encoder_precision) in (("onnx", "bf16"), ("torch", "int8")):
            raise ValueError(
                "encoder_backend 'torch' runs in encoder_precision 'fp32' or 'bf16', 'onnx' in 'fp32' or 'int8'"
            )
        unknown = sorted(set(self.weights_sha256) - set(ENCODERS) - set(F0_PREDICTORS))
        if unknown:
            raise ValueError(f"weights_sha256 names {', '.join(unknown)}, which is no encoder or f0 predictor")
        return self


class SplitBlock(Block):
    val_share: float = Field(0.02, ge=0, lt=0.5, description="share of new clips that go to validation")
    seed: int = Field(1234, ge=0, description="changes which new clips go to validation")


class ShardBlock(Block):
    """Into how many parts machines divide a stage's work; what is made does not depend on it."""

    slice_minutes: float = Field(60, gt=0, description="minutes of recordings in one part of slice")
    features_minutes: float = Field(30, gt=0, description="minutes of clips in one part of features")


class JobsBlock(Block):
    """`svc_jobs`: what 4.1 has no field for."""

    format: Literal[1] = 1
    voice: str
    preset: Literal["full", "tiny", "toy"] = "full"
    slice: SliceBlock = SliceBlock()
    loudness: LoudnessBlock = LoudnessBlock()
    features: FeatureBlock = FeatureBlock()
    split: SplitBlock = SplitBlock()
    shards: ShardBlock = ShardBlock()
    steps: int = Field(20_000, ge=1, le=100_000_000, description="training steps in all")
    steps_per_minute: int = Field(
        0, ge=0, le=1_000_000, description="training steps for each minute of recordings, where that is more than steps"
    )
    discriminator_divisor: int = Field(
        1, ge=1, le=32, description="divides the discriminators' channels; anything but 1 is not 4.1's network"
    )
    poison_share: float = Field(0.05, ge=0, le=1, description="share of recordings that may fail before a stage does")


class Config(Block):
    """One voice: the whole file `app/configs/44k/config_colab_<voice>.json`."""

    train: TrainBlock = TrainBlock()
    data: DataBlock = DataBlock()
    model: ModelBlock = ModelBlock()
    spk: dict[str, Annotated[int, Field(ge=0)]]
    svc_jobs: JobsBlock

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        row = ENCODERS[encoder_of_config_or_value_error(self.model.speech_encoder)]
        if (self.model.ssl_dim, self.model.gin_channels) != (row.width, row.width):
            raise ValueError(
                f"model.ssl_dim and model.gin_channels must be {row.width} channels for {self.model.speech_encoder}"
            )
        features = self.svc_jobs.features
        if row.model is None and (features.encoder_backend, features.encoder_precision) != ("torch", "fp32"):
            raise ValueError(
                f"{self.model.speech_encoder} has no network: use encoder_backend 'torch' and encoder_precision 'fp32'"
            )
        if self.spk and self.model.n_speakers <= max(self.spk.values()):
            raise ValueError(f"model.n_speakers must be above the highest speaker id, {max(self.spk.values())}")
        if len(set(self.spk.values())) != len(self.spk):
            raise ValueError("spk gives one id to two speakers")
        return self

    @property
    def encoder(self) -> str:
        """The registry's name of the content encoder."""
        return encoder_of_config(self.model.speech_encoder)

    @property
    def precision(self) -> Literal["fp32", "bf16"]:
        return "bf16" if self.train.fp16_run else "fp32"

    def training_settings(self) -> dict[str, Any]:
        """What must be equal for a checkpoint to be continued: network, signal grid, encoder and f0.

        Speaker ids are compared apart, since new speakers may join; steps, intervals, keep, batch size and learning
        rate may change.
        """
        return {
            "model": self.model.model_dump(mode="json", exclude={"n_speakers"}),
            "data": self.data.model_dump(mode="json", exclude={"training_files", "validation_files"}),
            "svc_jobs.features": self.svc_jobs.features.model_dump(mode="json"),
            "svc_jobs.discriminator_divisor": self.svc_jobs.discriminator_divisor,
            "train.segment_size": self.train.segment_size,
        }

    def training_digest(self) -> str:
        return manifest.fingerprint(self.training_settings())


def encoder_of_config_or_value_error(config_name: str) -> str:
    try:
        return encoder_of_config(config_name)
    except ConfigError as error:
        raise ValueError(str(error)) from None


def sentences(error: ValidationError) -> list[str]:
    """Every mistake as `where: what`, in the order of the file."""
    lines = []
    for item in error.errors(include_url=False):
        where = ".".join(str(part) for part in item["loc"]) or "config"
        if item["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown setting, remove it or correct its name")
        else:
            value = "" if item["type"] in ("missing", "value_error") else f" (it is {item['input']!r})"
            lines.append(f"{where}: {item['msg'].removeprefix('Value error, ')}{unit_of(item['loc'])}{value}")
    return lines


def unit_of(location: tuple[int | str, ...]) -> str:
    """The field's own description in brackets, so that a message states the unit."""
    block: Any = Config
    description = None
    for part in location:
        field = getattr(block, "model_fields", {}).get(part)
        if field is None:
            break
        block, description = field.annotation, field.description
    return f" [{description}]" if description else ""


def parse(values: dict[str, Any], where: str) -> Config:
    """Checks a whole config. Raises ConfigError that lists every mistake."""
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"mistakes in {where}, correct them: " + "; ".join(sentences(error))) from None


def load(path: Path) -> Config:
    """Reads a config. Raises ConfigError where it is absent, not JSON, or holds a mistake."""
    import json

    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: run prepare first") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"{path} is not JSON ({error}): restore it, or delete it and run prepare again") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold a JSON object: restore it, or delete it and run prepare again")
    return parse(values, str(path))


def save(config: Config, path: Path) -> None:
    files.write_json(path, config.model_dump(mode="json"), durable=True)
