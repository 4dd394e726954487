/* Every other function of the driver that TensorFlow's libraries bind when they are loaded: not in a simulation.
 *
 * Weak, so that what libcuda.c defines takes the place of the function of the same name here.
 */
enum { CUDA_ERROR_NOT_SUPPORTED = 801 };

#define FUNCTION(name) \
    __attribute__((weak)) int name(void) \
    { \
        return CUDA_ERROR_NOT_SUPPORTED; \
    }

/* Measured from the wheels; in docker/libcuda, which is on the include path. */
#include "driver-api.h"

/* Names from before the suffix _v2, which programs still look up by hand. */
FUNCTION(cuCtxCreate)
FUNCTION(cuCtxDestroy)
FUNCTION(cuCtxPopCurrent)
FUNCTION(cuCtxPushCurrent)
FUNCTION(cuDeviceTotalMem)
FUNCTION(cuMemAlloc)
FUNCTION(cuMemFree)
FUNCTION(cuMemGetInfo)
FUNCTION(cuMemcpyDtoH)
FUNCTION(cuMemcpyHtoD)
