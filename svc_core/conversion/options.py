"""What can be chosen for a conversion. The bounds are checked together; a default exists here and nowhere else."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from svc_core.config import Block
from svc_core.errors import ConfigError
from svc_core.manifest import fingerprint


class ConvertOptions(Block):
    speaker: str = Field(description="whose voice the output has: a name of the model's speaker map, or an id")
    transpose_semitones: Literal["auto"] | float = Field(
        0.0, description="semitones up, -48 to 48; auto: from the source's median pitch to the speaker's, in whole ones"
    )
    predict_f0: bool = Field(False, description="the network makes the melody itself: for speech, not for singing")
    noise_scale: float = Field(0.4, ge=0, le=2, description="spread of what the network draws at random, 0 to 2")
    clip_s: float = Field(10.0, ge=1, le=60, description="longest piece that the network hears at once, 1 to 60 s")
    cross_fade_s: float = Field(
        0.4, ge=0, le=5, description="overlap of neighbouring pieces, 0 to 5 s and at most half of clip_s; 0: hard cuts"
    )
    # 4.1 mixes over 0.75 of it. Two pieces sing the same note in different phases, so a long mix sounds hollow; the
    # unmixed rest keeps the network's unsure edges out.
    fade_share: float = Field(
        0.25, ge=0, le=1, description="share of the overlap in which both pieces are heard, 0 to 1"
    )
    pad_s: float = Field(0.5, ge=0.1, le=5, description="silence around a piece while it is converted, 0.1 to 5 s")
    slice_db: float = Field(-40.0, ge=-90, le=0, description="dB below full scale, -90 to 0: quieter is silence")
    envelope: float = Field(
        1.0, ge=0, le=1, description="1: the voice's own loudness envelope, 0: the source's, between: a mix"
    )
    seed: int = Field(52468, ge=0, lt=2**63, description="of the random numbers in the network")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.transpose_semitones != "auto" and not -48 <= self.transpose_semitones <= 48:
            raise ValueError(f"transpose_semitones must be -48 to 48 semitones or auto, not {self.transpose_semitones}")
        if self.cross_fade_s > self.clip_s / 2:
            raise ValueError(
                f"cross_fade_s must be at most half of clip_s ({self.clip_s} s), not {self.cross_fade_s} s"
            )
        if self.predict_f0 and self.transpose_semitones == "auto":
            raise ValueError("transpose_semitones 'auto' has no use with predict_f0, which makes its own pitch")
        return self

    @property
    def variant(self) -> str:
        """8 hex digits of what differs from the defaults, for names; empty where nothing does."""
        changed = self.model_dump(mode="json", exclude={"speaker"}, exclude_defaults=True)
        return fingerprint(changed)[:8] if changed else ""

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Raises ConfigError that lists every mistake with the setting's meaning, unit and range."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            lines = dict.fromkeys(cls._sentence(item["loc"], item["msg"]) for item in error.errors(include_url=False))
            raise ConfigError(f"the conversion's options have mistakes, correct them: {'; '.join(lines)}") from None

    @classmethod
    def _sentence(cls, location: tuple[int | str, ...], message: str) -> str:
        name = str(location[0]) if location else ""
        if name not in cls.model_fields:
            return f"{name or 'options'}: {message.removeprefix('Value error, ')}"
        # One sentence for both members of a union: its description says what is allowed.
        return f"{name} must be: {cls.model_fields[name].description}"
