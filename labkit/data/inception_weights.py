"""torchvision's ImageNet weights of Inception v3, from torch's cache or by a download that cannot hang."""

import os
import threading
from pathlib import Path

import torch
from torch import Tensor

ADDRESS = "https://download.pytorch.org/models/inception_v3_google-0cc3c7bd.pth"


def inception_weights(seconds: float = 60.0) -> dict[str, Tensor] | None:
    """The state dict (104 MB) for `labkit.classifier.nets.inception_classifier`, or None and a line that says why.

    Args:
        seconds: given to a download; 0 looks into torch's cache only, as does `LABKIT_OFFLINE`.
    """
    file = Path(torch.hub.get_dir()) / "checkpoints" / ADDRESS.rsplit("/", 1)[1]
    offline = os.environ.get("LABKIT_OFFLINE", "0") not in ("", "0")
    if not file.is_file() and (offline or not seconds):
        print("Inception v3: no ImageNet weights in the cache, and no download was allowed.")
        return None
    found: list[dict[str, Tensor]] = []
    reason = f"the download took more than {seconds:g} s"

    def load() -> None:
        nonlocal reason
        try:
            options = {"map_location": "cpu", "progress": False, "check_hash": True, "weights_only": True}
            found.append(torch.hub.load_state_dict_from_url(ADDRESS, **options))
        except Exception as error:  # whatever stands in the way, the lab has another start
            reason = " ".join(str(error).split()) or type(error).__name__

    # torch's download knows no time limit, so it runs beside us; a daemon thread holds up no exit.
    worker = threading.Thread(target=load, daemon=True, name="inception-weights")
    worker.start()
    worker.join(max(seconds, 30.0) if file.is_file() else seconds)
    if not found:
        print(f"Inception v3: no ImageNet weights ({reason[:160]}).")
        return None
    return found[0]
