"""What the NVIDIA driver in this target says, asked of libcuda itself; no TensorFlow, no CUDA runtime."""

import ctypes

from common import emit

_MAJOR, _MINOR = 75, 76


def _device(cuda, index):
    device = ctypes.c_int()
    name = ctypes.create_string_buffer(128)
    uuid = (ctypes.c_ubyte * 16)()
    numbers = [ctypes.c_int(), ctypes.c_int()]
    cuda.cuDeviceGet(ctypes.byref(device), index)
    cuda.cuDeviceGetName(name, 128, device)
    has_uuid = hasattr(cuda, "cuDeviceGetUuid") and cuda.cuDeviceGetUuid(ctypes.byref(uuid), device) == 0
    for number, attribute in zip(numbers, (_MAJOR, _MINOR)):
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
    text = bytes(uuid).hex()
    parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
    return {
        "name": name.value.decode("utf-8", "replace"),
        "capability": "%d.%d" % (numbers[0].value, numbers[1].value),
        "uuid": "GPU-" + "-".join(parts) if has_uuid else None,
    }


def run():
    """The code of cuInit (0 is good, 100 is "no device", None is no libcuda at all), CUDA version, devices.

    ``simulated``: this is the driver of the project's tests, which knows devices and computes nothing.
    """
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return {"init": None, "error": str(error), "cuda": None, "devices": [], "simulated": False}
    code = cuda.cuInit(0)
    version, count = ctypes.c_int(), ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(version))
    if code == 0:
        cuda.cuDeviceGetCount(ctypes.byref(count))
    devices = [_device(cuda, index) for index in range(count.value)]
    return {
        "init": code,
        "error": None,
        "cuda": version.value,
        "devices": devices,
        "simulated": hasattr(cuda, "gpuenv_simulated_driver"),
    }


if __name__ == "__main__":
    emit(run())
