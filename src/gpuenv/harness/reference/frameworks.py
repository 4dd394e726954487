"""``import tensorflow, keras`` and nothing before it, as a user would: what it prints is judged too."""

import tensorflow as tf  # isort: skip
import keras
from common import emit


def _build_info():
    try:
        from tensorflow.python.platform import build_info
    except ImportError:
        return {}
    names = ("is_cuda_build", "cuda_version_number", "cudnn_version_number")
    return {name: getattr(build_info, name) for name in names if hasattr(build_info, name)}


def run():
    """Versions, and what the wheel says about itself."""
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "tf.keras": tf.keras.__version__,
        "compiler": tf.__compiler_version__,
        "is_cuda_build": bool(tf.test.is_built_with_cuda()),
        "build_info": _build_info(),
        "library": tf.sysconfig.get_lib(),
    }


if __name__ == "__main__":
    emit(run())
