"""Encoder for MTEB (https://github.com/embeddings-benchmark/mteb), for its tasks on audio and on video.

    import mteb
    from slowfast_cli.adapters.mteb import SlowFastEncoder

    mteb.evaluate(SlowFastEncoder("runs/sounds"), mteb.get_tasks(tasks=["ESC50"]))

Shapes: N clips, D features.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.modality_collators import AudioCollator, FramesCollator

from slowfast_cli.stages.embed.audio import AudioWindows
from slowfast_cli.stages.embed.embedder import Embedder
from slowfast_cli.stages.embed.video import ClipWindows
from slowfast_cli.types import UsageError, WeightsError

REFERENCE = "https://arxiv.org/abs/2103.03516"


class SlowFastEncoder(AbsEncoder):  # type: ignore[misc]
    """Pooled features of whole clips: the average of as many views as in evaluation.

    Args:
        model_name: A weight file, a run folder or a catalog name; ``default`` for the bundled model.
        revision: Ignored: the hash of the weights identifies them.
        device: ``auto``, ``cpu``, ``cuda``.
        options: Ignored.

    Raises:
        WeightsError: The weights are not there, or read sound and frames together.
    """

    def __init__(
        self, model_name: str = "default", revision: str | None = None, *, device: str | None = None, **options: Any
    ) -> None:
        self.embedder = Embedder(model_name, device or "auto")
        reader = self.embedder.reader
        if isinstance(reader, ClipWindows) and reader.reader.sounds is not None:
            raise WeightsError(f"{model_name}: MTEB gives sound and frames apart, and this network reads them together")
        settings = self.embedder.settings()
        modality = "audio" if isinstance(reader, AudioWindows) else "video"
        self.mteb_model_meta = ModelMeta(
            loader=type(self),
            loader_kwargs={},
            name=f"slowfast/{model_name.strip('/.').replace('/', '-') or 'default'}",
            revision=settings["weights_sha256"][:40],
            release_date=None,
            languages=None,
            n_parameters=self.embedder.parameters,
            memory_usage_mb=None,
            max_tokens=None,
            embed_dim=sum(self.embedder.card.net.features().values()),
            license=None,
            open_weights=True,
            public_training_code=None,
            public_training_data=None,
            framework=["PyTorch"],
            reference=REFERENCE,
            similarity_fn_name="cosine",
            use_instructions=False,
            training_datasets=None,
            modalities=[modality],
        )

    def encode(self, inputs: Any, **options: Any) -> np.ndarray:
        """Return the features of a data loader's clips.

        Args:
            inputs: Data loader of a data set with the column ``audio`` or ``video``, as the weights read.
            options: The task and the split, which do not matter.

        Returns:
            (N, D) float32.

        Raises:
            UsageError: The data set has no such column.
        """
        reader = self.embedder.reader
        column = "audio" if isinstance(reader, AudioWindows) else "video"
        if column not in inputs.dataset.features:
            raise UsageError(f"these weights read {column}, and the task has {', '.join(inputs.dataset.features)}")
        if isinstance(reader, AudioWindows):
            inputs.collate_fn = AudioCollator(target_sampling_rate=reader.front_end.rate)
        elif isinstance(reader, ClipWindows):
            inputs.collate_fn = FramesCollator(fps=reader.settings.fps / reader.settings.step)
        return np.concatenate([self._features(batch[column]) for batch in inputs])

    def _features(self, clips: Sequence[Any]) -> np.ndarray:
        reader = self.embedder.reader
        if isinstance(reader, AudioWindows):
            arrays = [np.asarray(clip["array"], np.float32).reshape(-1) for clip in clips]
            windows = [window for number, array in enumerate(arrays) for window in reader.samples(number, array)]
        elif isinstance(reader, ClipWindows):
            frames = [np.asarray(clip).transpose(1, 0, 2, 3) for clip in clips]
            windows = [window for number, clip in enumerate(frames) for window in reader.frames(number, clip)]
        return self.embedder.average(windows)
