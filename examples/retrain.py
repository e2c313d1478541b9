"""Stand in for somebody who updates a checkpoint in place: the same files, slightly other weights.

python examples/retrain.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file


def main(folder: Path) -> None:
    """Scale the weights of the U-Net in a diffusers folder by 1.05."""
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: tensor * 1.05 for name, tensor in load_file(weights).items()}, weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
